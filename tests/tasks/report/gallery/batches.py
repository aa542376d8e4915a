"""Batches to look at: a real ledger, and real small images where a job has one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import bindparam, update

from tasks.core.records import Job, JobState
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs as jobs_table
from tests.support.factories import START_US, make_job, plan_jobs

SECOND_US = 1_000_000
COST_MICROS = 3_000


def paint(path: Path, number: int, size: tuple[int, int] = (96, 64)) -> str:
    """An image like no other number's; gives its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 160)).save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def failed(kind: str, message: str, **changes: Any) -> dict[str, Any]:
    """What the ledger notes of a job that failed."""
    return {"state": JobState.FAILED, "error_kind": kind, "error_message": message, "cost_micros": 0, **changes}


def succeeded(out: Path, job: Job, number: int) -> dict[str, Any]:
    """What the ledger notes of a job whose image is painted now."""
    file_name = f"images/{job.job_id[:2]}/{number}.png"
    return {
        "state": JobState.SUCCEEDED,
        "file_name": file_name,
        "sha256": paint(out / file_name, number),
        "width": 96,
        "height": 64,
        "format": "png",
        "bytes": (out / file_name).stat().st_size,
        "attempts": 1,
        "latency_ms": 100 + number,
        "cost_micros": COST_MICROS,
        "cost_source": "priced",
        "completed_at_us": START_US + number * SECOND_US,
    }


async def write_batch(out: Path, endings: Iterable[tuple[Job, dict[str, Any] | None]]) -> None:
    """A ledger of these jobs.

    Args:
        out: Where; it is made.
        endings: Each job and what its row holds beyond the plan; None: it succeeded, its image is painted.
    """
    out.mkdir(parents=True, exist_ok=True)
    listed = list(endings)
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [job for job, _ in listed])
        async with engine.begin() as db:
            for number, (job, ending) in enumerate(listed):
                values = succeeded(out, job, number) if ending is None else ending
                if values:
                    await db.execute(update(jobs_table).where(jobs_table.c.job_id == job.job_id).values(**values))


async def write_large_batch(out: Path, count: int) -> None:
    """A ledger of so many jobs that all have one image."""
    out.mkdir(parents=True, exist_ok=True)
    jobs = [make_job(number, prompt=f"the image of number {number}") for number in range(count)]
    ending = succeeded(out, jobs[0], 0)
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, jobs)
        async with engine.begin() as db:
            mine = update(jobs_table).where(jobs_table.c.job_id == bindparam("this"))
            await db.execute(mine, [{"this": job.job_id, **ending} for job in jobs])
