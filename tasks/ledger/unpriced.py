"""Attempts of which nobody knows what they cost or can have cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import Job
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.database.transactions import execute, fetch_rows
from tasks.ledger.job_rows import job_from_row

PAGE_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class UnpricedAttempt:
    """An attempt without a cost and without a reservation."""

    job: Job
    number: int
    backend: str
    """The instance that it was sent to, which need not be the job's present one."""


async def read_unpriced_pages(engine: AsyncEngine) -> AsyncIterator[Sequence[UnpricedAttempt]]:
    """Pages of the unpriced attempts; each page must be given reservations before the next is read."""
    query = (
        select(jobs, attempts.c.number, attempts.c.backend.label("sent_to"))
        .join(jobs, jobs.c.job_id == attempts.c.job_id)
        .where(attempts.c.cost_micros.is_(None) & attempts.c.reserved_micros.is_(None))
        .limit(PAGE_ROWS)
    )
    # No page key: rows with a reservation are not found again.
    while rows := await fetch_rows(engine, query):
        yield [UnpricedAttempt(job_from_row(row), row.number, row.sent_to) for row in rows]


async def write_reservations(engine: AsyncEngine, most_micros: Mapping[tuple[str, int], int]) -> None:
    """Write the most that each attempt can have cost, in millionths of a dollar, by job id and number."""
    mine = (attempts.c.job_id == bindparam("a_job_id")) & (attempts.c.number == bindparam("a_number"))
    rows = [{"a_job_id": job_id, "a_number": number, "most": most} for (job_id, number), most in most_micros.items()]
    await execute(engine, update(attempts).where(mine).values(reserved_micros=bindparam("most")), rows)
