"""State of a ledger in one line, by which a run finds out that the table shows it already."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.identity import hash_text
from tasks.ledger.database.schema import attempts, jobs, runs, scores, verdicts
from tasks.ledger.database.transactions import fetch_rows
from tasks.metadata.columns import COLUMNS

# Every change of a job's row that the table shows changes one of these: a plan its run, an attempt its number, times or
# cost, an end the states, a judgement or a score the number of their rows.
_QUERIES: tuple[Any, ...] = (
    select(func.max(runs.c.number)).where(runs.c.salt.is_not(None)),
    select(jobs.c.state, jobs.c.withdrawn, func.count(), func.sum(jobs.c.planned_run), func.max(jobs.c.completed_at_us))
    .group_by(jobs.c.state, jobs.c.withdrawn)
    .order_by(jobs.c.state, jobs.c.withdrawn),
    select(jobs.c.backend, func.count()).group_by(jobs.c.backend).order_by(jobs.c.backend),
    select(
        func.count(),
        func.sum(attempts.c.number),
        func.sum(attempts.c.cost_micros),
        func.max(attempts.c.started_at_us),
        func.max(attempts.c.ended_at_us),
        func.count(attempts.c.ended_at_us),
    ),
    *(select(func.count(), func.max(table.c.at_us)) for table in (verdicts, scores)),
)


async def describe_state(engine: AsyncEngine) -> str:
    """Digest of what the table would show; another content of the ledger has another one."""
    # A later version's table may have other columns.
    found = [list(map(tuple, await fetch_rows(engine, query))) for query in _QUERIES]
    return hash_text(repr(([column.name for column in COLUMNS], found)))
