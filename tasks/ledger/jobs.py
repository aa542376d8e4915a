"""Write a plan into the ledger: new jobs are added, known jobs keep their state and get their new position.

Columns that decide the image never change after a job was added. Its position, id and line may.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, UpdateBase, case, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.database import build_insert
from tasks.core.memory import split_chunks
from tasks.core.records import EndedFilter, JobState, PlannedJob
from tasks.ledger.database.schema import attempts, jobs, runs
from tasks.ledger.database.transactions import execute, fetch_rows
from tasks.ledger.job_rows import build_row, read_state

ROWS_PER_COMMIT = 2_000
SERIES_WIDTH = 2**40
"""Sort keys reserved per salt; jobs of the next salt follow."""


async def write_plan(
    engine: AsyncEngine, planned: Iterable[PlannedJob], *, run: int, salt: str, whole: bool, now_us: int
) -> int:
    """Add or move the jobs of a manifest.

    Args:
        engine: The ledger.
        planned: Jobs in manifest order.
        run: Number of the run that plans them.
        salt: The run's salt.
        whole: The manifest was read to its end. Jobs of this salt that it no longer has are withdrawn: they are not
            sent, counted or listed. Attempts in flight may have been paid for and are collected.
        now_us: Microseconds since 1970 UTC.

    Returns:
        Number of paid jobs that are withdrawn by this.
    """
    # Each salt has its own range, so a nightly run lists its images after those of the nights before.
    base = await _find_series_base(engine, salt)
    upsert = _build_upsert(engine.dialect.name)
    # A commit per chunk: a million rows in one would hold the database for minutes, and memory with it.
    for chunk in split_chunks(planned, ROWS_PER_COMMIT):
        rows = [build_row(item, base=base, run=run, salt=salt, now_us=now_us) for item in chunk]
        await execute(engine, upsert, rows)
    # With `--limit` the rest of the manifest is unread, not removed.
    if not whole:
        return 0
    # Every job that the manifest still has was just given this run's number.
    gone = (jobs.c.salt == salt) & (jobs.c.planned_run != run) & jobs.c.withdrawn.is_(False)
    paid = select(func.count()).select_from(jobs).where(gone & _has_worth())
    [(dropped,)] = await fetch_rows(engine, paid)
    await execute(engine, update(jobs).where(gone).values(withdrawn=True))
    return int(dropped)


async def reopen(engine: AsyncEngine, ended: EndedFilter, *, run: int | None = None) -> int:
    """Reopen failed or held jobs at the user's request.

    If the last attempt may have been billed, the job resumes it first: a look is free, a new attempt is not.

    Args:
        engine: The ledger.
        ended: Filter on the jobs to reopen.
        run: Run that selects them for itself (`Selection.planned_run`); None: unchanged.

    Returns:
        Number of reopened jobs.
    """
    mine = {} if run is None else {"planned_run": run}
    # In flight again, not planned: the next run looks before it pays.
    again = case((jobs.c.state == JobState.HELD, JobState.SUBMITTING), else_=JobState.SUBMITTED)
    opened = {"state": case((_may_have_cost(), again), else_=JobState.PLANNED)}
    # A dead worker's claim would keep the job from the others until its lease ends.
    forgotten = dict.fromkeys(("error_kind", "error_message", "claimed_by", "lease_until_us"))
    return await execute(engine, update(jobs).where(match_ended(ended)).values(opened | forgotten | mine))


async def reopen_made(engine: AsyncEngine, job_ids: Sequence[str], *, run: int) -> None:
    """Reopen succeeded jobs for another paid attempt, because their files are gone; `run` selects them for itself."""
    made = (
        "file_name",
        "width",
        "height",
        "format",
        "bytes",
        "sha256",
        "provenance",
        "completed_at_us",
        "latency_ms",
        "reused_from",
    )
    again = {"state": JobState.PLANNED, "planned_run": run, **dict.fromkeys(made)}
    for chunk in split_chunks(job_ids):
        await execute(engine, update(jobs).where(jobs.c.job_id.in_(chunk)).values(again))


def is_wanted() -> ColumnElement[bool]:
    """Condition: the last plan that was written whole wants the job, or a later run. Nothing else may be sent.

    A run that is killed while it plans takes nothing away from the plan before it.
    """
    last_plan = select(func.coalesce(func.max(runs.c.number), 0)).where(runs.c.salt.is_not(None))
    return jobs.c.withdrawn.is_(False) & (jobs.c.planned_run >= last_plan.scalar_subquery())


def match_ended(ended: EndedFilter) -> ColumnElement[bool]:
    """Condition for the jobs that match the filter."""
    chosen = jobs.c.state.in_(ended.states) & is_wanted()
    return chosen & jobs.c.error_kind.in_(ended.kinds) if ended.kinds else chosen


def _may_have_cost() -> ColumnElement[bool]:
    """Condition: the last attempt ended with a cost, or an unknown one, and can be looked up."""
    last = (attempts.c.job_id == jobs.c.job_id) & (attempts.c.number == jobs.c.attempts)
    # A held job without an id is looked up by its input.
    can_be_asked = jobs.c.prediction_id.is_not(None) | (jobs.c.state == JobState.HELD)
    cost_nothing = attempts.c.cost_micros.is_not(None) & (attempts.c.cost_micros == 0)
    return can_be_asked & exists().where(last & ~cost_nothing).correlate(jobs)


async def get_known_states(engine: AsyncEngine, job_ids: Sequence[str]) -> dict[str, JobState]:
    """States of the jobs that the ledger knows; pass at most some thousands of ids."""
    query = select(jobs.c.job_id, jobs.c.state).where(jobs.c.job_id.in_(job_ids))
    return {job_id: read_state(state) for job_id, state in await fetch_rows(engine, query)}


async def has_any_job(engine: AsyncEngine, job_ids: Sequence[str]) -> bool:
    """True where the manifest's table has one of these jobs; pass at most some thousands of ids."""
    known = jobs.c.job_id.in_(job_ids) & jobs.c.withdrawn.is_(False)
    return bool(await fetch_rows(engine, select(jobs.c.job_id).where(known).limit(1)))


async def count_paid_jobs(engine: AsyncEngine, salt: str) -> int:
    """Jobs of this salt with an image or the cost of one, which the table has."""
    mine = (jobs.c.salt == salt) & jobs.c.withdrawn.is_(False) & _has_worth()
    [(found,)] = await fetch_rows(engine, select(func.count()).select_from(jobs).where(mine))
    return int(found)


def _has_worth() -> ColumnElement[bool]:
    """Condition: the job had an attempt, or its image was taken over from another batch."""
    return (jobs.c.attempts > 0) | jobs.c.reused_from.is_not(None)


async def _find_series_base(engine: AsyncEngine, salt: str) -> int:
    """First sort key of this salt; salts are sorted by first use."""
    series = jobs.c.position // SERIES_WIDTH
    # A salt that comes again keeps its place.
    if found := await fetch_rows(engine, select(series).where(jobs.c.salt == salt).limit(1)):
        return int(found[0][0]) * SERIES_WIDTH
    [(last,)] = await fetch_rows(engine, select(func.max(series)))
    return 0 if last is None else (int(last) + 1) * SERIES_WIDTH


# Columns that a new manifest may change; all others decide the image, and are in its `job_id`.
_PLACE = (
    "position",
    "planned_run",
    "withdrawn",
    "id",
    "line",
    "prompt",
    "requested_format",
    "extra",
    "input_image",
    "input_mask",
)
_ROUTE = ("backend", "fallbacks")
"""Columns that say where the job is sent; kept if another backend took the job over."""


def _build_upsert(dialect: str) -> UpdateBase:
    insert = build_insert(dialect, jobs)
    place = {name: insert.excluded[name] for name in _PLACE}
    route = {name: case((jobs.c.rerouted_from.is_(None), insert.excluded[name]), else_=jobs.c[name]) for name in _ROUTE}
    return insert.on_conflict_do_update(index_elements=[jobs.c.job_id], set_=place | route)
