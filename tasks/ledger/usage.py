"""Attempts whose usage row is still to be pushed, and the record of those that were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from sqlalchemy import RowMapping, and_, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import JobState
from tasks.ledger.database.schema import attempts, jobs, runs
from tasks.ledger.database.transactions import execute, fetch_mappings, fetch_rows

AttemptKey = tuple[str, int]
"""Of an attempt: job_id and number."""


async def read_usage_pages(
    engine: AsyncEngine, size: int, *, without: Collection[AttemptKey] = ()
) -> AsyncIterator[Sequence[RowMapping]]:
    """Successful attempts whose usage row has not been pushed.

    Mark a page, or add its rows to `without`, before asking for the next one.

    The caller is that of the run in which the attempt began. Runs of one folder never overlap, so that run paid.
    """
    pending = and_(attempts.c.state == JobState.SUCCEEDED, attempts.c.usage_pushed_at_us.is_(None))
    began = runs.c.started_at_us <= attempts.c.started_at_us
    caller = select(runs.c.caller).where(began).order_by(runs.c.number.desc()).limit(1).scalar_subquery()
    query = (
        select(
            attempts.c.job_id,
            attempts.c.number,
            attempts.c.started_at_us,
            attempts.c.ended_at_us,
            attempts.c.latency_ms,
            attempts.c.cost_micros,
            jobs.c.backend,
            jobs.c.model,
            jobs.c.seed,
            jobs.c.prompt,
            caller.label("caller"),
        )
        .join(jobs, jobs.c.job_id == attempts.c.job_id)
        .where(pending)
        .limit(size)
    )
    key = tuple_(attempts.c.job_id, attempts.c.number)
    while True:
        rows = await fetch_mappings(engine, query.where(key.not_in(list(without))))
        if not rows:
            return
        yield rows


async def mark_pushed(engine: AsyncEngine, keys: Sequence[AttemptKey], *, now_us: int) -> None:
    """Note that the usage rows of these attempts are in the sink."""
    mine = tuple_(attempts.c.job_id, attempts.c.number).in_(keys)
    await execute(engine, update(attempts).where(mine).values(usage_pushed_at_us=now_us))


async def count_usage(engine: AsyncEngine) -> tuple[int, int]:
    """How many usage rows are pushed, and how many are pending."""
    succeeded = attempts.c.state == JobState.SUCCEEDED
    pushed = func.count(attempts.c.usage_pushed_at_us)
    [(done, total)] = await fetch_rows(engine, select(pushed, func.count()).where(succeeded))
    return int(done), int(total) - int(done)
