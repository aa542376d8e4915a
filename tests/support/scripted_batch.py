"""A batch whose one backend is a scripted one: opened, run to its end, and its ledger read."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tasks.core.records import Counts, Job
from tasks.generate.batch import Batch
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tasks.store.output import Output
from tests.support.factories import FakeClock, open_batch_with
from tests.support.scripted_backend import ScriptedBackend

EVERYTHING = (0, 2**62)


@asynccontextmanager
async def open_scripted(
    out: Path | Output, backend: ScriptedBackend, jobs: list[Job], **options: Any
) -> AsyncIterator[Batch]:
    """A batch whose backend is the scripted one, in time that only passes when somebody sleeps."""
    options.setdefault("clock", FakeClock().clock)
    async with open_batch_with(out, jobs, **options) as batch:
        batch._backends["sketch"] = backend
        yield batch


async def run(out: Path | Output, backend: ScriptedBackend, jobs: list[Job], **options: Any) -> Counts:
    """Generate everything that is open and count."""
    async with open_scripted(out, backend, jobs, **options) as batch:
        await generate_range(batch, *EVERYTHING)
        return await count_jobs(batch.engine)


def ledger(out: Path, query: str) -> list[tuple[object, ...]]:
    """Rows of the ledger file."""
    with sqlite3.connect(out / "ledger.db") as db:
        rows = db.execute(query).fetchall()
    db.close()
    return rows
