"""Nouns for tests, with everything filled in that a test does not care about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.identity import compute_job_id, derive_seed
from tasks.core.records import Job, PlannedJob
from tasks.generate.batch import Batch, open_batch
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.jobs import write_plan
from tasks.ledger.journal import Journal
from tasks.ledger.leases import LeaseTerms
from tasks.ledger.worker_leases import WorkerLeases
from tasks.store.output import Output
from tasks.store.output.folder import OutputFolder

START_US = 1_790_000_000_000_000
"""An instant in 2026, so that no test depends on today."""


def make_job(number: int = 0, **changes: Any) -> Job:
    """A job like no other number's."""
    identity = compute_job_id(f"row {number}", sample=0, duplicate_number=0, salt="")
    job = Job(
        job_id=identity,
        position=number,
        id=f"row-{number}",
        line=number + 1,
        sample=0,
        prompt=f"a picture of number {number}",
        negative_prompt=None,
        backend="sketch",
        backend_type="sketch",
        model="",
        width=32,
        height=32,
        aspect_ratio=None,
        steps=None,
        seed=derive_seed(identity),
        format="png",
        backend_opts={},
        extra={},
    )
    return replace(job, **changes)


@dataclass
class FakeClock:
    """Time that passes only when somebody sleeps; the waits are recorded."""

    slept_s: list[float] = field(default_factory=list)
    now_s: float = 0.0

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass at once; whoever else is ready runs meanwhile."""
        self.slept_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    def monotonic_s(self) -> float:
        """Seconds passed."""
        return self.now_s

    @property
    def clock(self) -> Clock:
        """This clock, as the code takes it."""
        sleep: Callable[[float], Awaitable[None]] = self.sleep
        return Clock(
            now_us=lambda: START_US + round(self.now_s * 1e6),
            monotonic_s=self.monotonic_s,
            since_boot_s=self.monotonic_s,
            sleep=sleep,
        )


async def plan_jobs(
    engine: AsyncEngine, jobs: Iterable[Job], *, run: int = 1, salt: str = "", whole: bool = True
) -> None:
    """Write jobs into a ledger as a run's whole plan."""
    planned = [PlannedJob(job, 0) for job in jobs]
    await write_plan(engine, planned, run=run, salt=salt, whole=whole, now_us=START_US)


@asynccontextmanager
async def open_batch_with(
    out: Path | Output,
    jobs: Iterable[Job],
    *,
    clock: Clock | None = None,
    budget_micros: int | None = None,
    **backend: Any,
) -> AsyncIterator[Batch]:
    """An open batch over these jobs, its one backend `sketch` set up as given."""
    settings = Settings(backends={"sketch": BackendSettings.model_validate({"type": "sketch", **backend})})
    output = OutputFolder(out) if isinstance(out, Path) else out
    async with open_ledger(output.home, create=True) as engine:
        await plan_jobs(engine, jobs)
        async with open_batch(output, engine, settings, budget_micros=budget_micros, clock=clock or Clock()) as batch:
            yield batch


@asynccontextmanager
async def share_batch(batch: Batch, terms: LeaseTerms) -> AsyncIterator[WorkerLeases]:
    """For the duration of the block this process is one worker of several on the batch; gives its leases."""
    batch.leases = WorkerLeases(batch.engine, terms, batch.clock)
    batch.journal = Journal(batch.engine, terms)
    async with batch.leases.renewing(batch.stop.stop):
        yield batch.leases
