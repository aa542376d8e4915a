"""Backends and batches that talk to a stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tasks.backends import build_backend
from tasks.backends.base import Backend
from tasks.core.clock import Clock
from tasks.core.configuration.sections import BackendSettings, StopSettings
from tasks.core.configuration.settings import Settings
from tasks.core.records import Counts, Job
from tasks.generate.batch import Batch, open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.queries import count_jobs
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job, plan_jobs

NAME = "api"
EVERYTHING = (0, 2**62)


def build_settings(instance: Mapping[str, Any]) -> Settings:
    """A configuration with this one instance, which never stops for failures."""
    return Settings(
        default_backend=NAME,
        backends={NAME: BackendSettings.model_validate(instance)},
        stop=StopSettings(error_rate=1.0, error_window=10_000),
    )


def open_backend(instance: Mapping[str, Any]) -> Backend:
    """The instance, as a run builds it."""
    return build_backend(NAME, build_settings(instance))


def make_instance_job(instance: Mapping[str, Any], number: int = 0, **changes: Any) -> Job:
    """A job for the instance, of no size of its own."""
    of_instance = {"backend": NAME, "backend_type": instance["type"], "model": instance.get("model", "")}
    return make_job(number, **{**of_instance, "width": None, "height": None, **changes})


@asynccontextmanager
async def batch_at(
    out: Path,
    instance: Mapping[str, Any],
    jobs: list[Job],
    *,
    budget_micros: int | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Batch]:
    """An open batch of these jobs."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, jobs)
        settings = build_settings(instance)
        async with open_batch(OutputFolder(out), engine, settings, budget_micros=budget_micros, clock=clock) as batch:
            backend = batch.backend(NAME)
            if clock is not None and hasattr(backend, "_clock"):
                backend._clock = clock
            yield batch


async def generate(out: Path, instance: Mapping[str, Any], jobs: list[Job], **options: Any) -> Counts:
    """Generate what is open and count."""
    async with batch_at(out, instance, jobs, **options) as batch:
        await generate_range(batch, *EVERYTHING)
        return await count_jobs(batch.engine)
