"""Attempts whose usage row is still to be pushed, and the record of those that were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.memory import split_chunks
from tasks.core.records import ENDED_STATES, NO_IMAGE_STATES, JobState
from tasks.ledger.database.schema import attempts, jobs, runs
from tasks.ledger.database.transactions import execute, fetch_mappings, fetch_rows

AttemptKey = tuple[str, int]
"""Of an attempt: job_id and number."""
FIRST_CALL = 1_000_000
"""Number of the first attempt of a job that is no image: judges ask about it. No job has so many paid attempts."""
KEYS_AT_ONCE = 20_000
"""Pending attempts that are listed for several pages, in some 6 MB. A server whose statistics are old reads its whole table for each list."""
CHANGED = 0
"""`usage_pushed_at_us` of an attempt whose row is in the sink as it was before the attempt ended anew."""


async def read_usage_pages(
    engine: AsyncEngine, size: int, *, without: Collection[AttemptKey] = ()
) -> AsyncIterator[Sequence[RowMapping]]:
    """Ended attempts whose usage row has not been pushed: with an image, or billed, or perhaps billed, without one.

    Mark a page, or add its rows to `without`, before asking for the next one.

    The caller is that of the run in which the attempt began. Runs of one folder never overlap, so that run paid.
    """
    # Images first: each look for them would otherwise read again all failures that cost nothing and have no row.
    for states in ((JobState.SUCCEEDED,), NO_IMAGE_STATES):
        while keys := await _list_pending(engine, states, without):
            has_any = False
            for chunk in split_chunks(keys, size):
                if page := await _fetch_rows(engine, set(chunk).difference(without), states):
                    has_any = True
                    yield page
            if not has_any:
                break  # attempts without a job, in a damaged ledger


async def _list_pending(
    engine: AsyncEngine, states: Iterable[JobState], without: Collection[AttemptKey]
) -> list[AttemptKey]:
    key = tuple_(attempts.c.job_id, attempts.c.number)
    # `without` grows while rows are pushed: those that the sink refuses would be read for ever.
    left = _is_pending(states) & key.not_in(list(without))
    found = await fetch_rows(engine, select(attempts.c.job_id, attempts.c.number).where(left).limit(KEYS_AT_ONCE))
    return [(job_id, number) for job_id, number in found]


async def _fetch_rows(
    engine: AsyncEngine, keys: Collection[AttemptKey], states: Iterable[JobState]
) -> list[RowMapping]:
    rows = await fetch_mappings(engine, _SELECT_ROWS.where(attempts.c.job_id.in_({job_id for job_id, _ in keys})))
    return [row for row in rows if (row["job_id"], row["number"]) in keys and row["state"] in states]


def _select_rows() -> Select[Any]:
    began = runs.c.started_at_us <= attempts.c.started_at_us
    caller, deployment = (
        select(column).where(began).order_by(runs.c.number.desc()).limit(1).scalar_subquery()
        for column in (runs.c.caller, runs.c.deployment)
    )
    return select(
        attempts.c.job_id,
        attempts.c.number,
        attempts.c.state,
        attempts.c.started_at_us,
        attempts.c.ended_at_us,
        attempts.c.latency_ms,
        attempts.c.cost_micros,
        # The attempt's backend was paid; the job may have gone on to another.
        attempts.c.backend,
        jobs.c.backend.label("job_backend"),
        jobs.c.model,
        jobs.c.seed,
        jobs.c.prompt,
        caller.label("caller"),
        deployment.label("deployment"),
    ).join(jobs, jobs.c.job_id == attempts.c.job_id)


_SELECT_ROWS = _select_rows()


async def mark_pushed(engine: AsyncEngine, rows: Sequence[RowMapping], *, now_us: int) -> None:
    """Note that the usage rows of these attempts are in the sink; one that has ended anew meanwhile stays pending."""
    # With the end: an attempt that was collected anew during the push has another cost.
    pushed = [(row["job_id"], row["number"], row["ended_at_us"]) for row in rows]
    mine = tuple_(attempts.c.job_id, attempts.c.number, attempts.c.ended_at_us).in_(pushed)
    # The jobs once more, by themselves: for a list of triples alone SQLite would read the whole table.
    these_jobs = attempts.c.job_id.in_({row["job_id"] for row in rows})
    await execute(engine, update(attempts).where(these_jobs & mine).values(usage_pushed_at_us=now_us))


async def count_usage(engine: AsyncEngine) -> tuple[int, int]:
    """Count the usage rows that are pushed, and those that are pending."""
    done = func.count().filter(attempts.c.usage_pushed_at_us > CHANGED)
    [(pushed, pending)] = await fetch_rows(engine, select(done, func.count().filter(_is_pending())))
    return int(pushed), int(pending)


def _is_pending(states: Iterable[JobState] = ENDED_STATES) -> ColumnElement[bool]:
    """Condition: the attempt ended in one of the states and has a row that the sink lacks, or has as it was before."""
    pushed_at, cost = attempts.c.usage_pushed_at_us, attempts.c.cost_micros
    # An image has a row even if it was free; an attempt without one only if it may be on the bill.
    costs = or_(attempts.c.state == JobState.SUCCEEDED, cost.is_(None), cost != 0)
    has_ended = attempts.c.state.in_(states) & attempts.c.ended_at_us.is_not(None)
    # `has_ended` twice: SQLite uses both columns of the index only within each part of an OR, and would else look at all
    # rows that were ever pushed.
    return or_(and_(has_ended, pushed_at == CHANGED), and_(has_ended, pushed_at.is_(None), costs))
