"""Jobs that are still to be done, and the ranges of them that task runs work through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import IN_FLIGHT_STATES, OPEN_STATES, Job, JobState, Prediction
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.job_rows import job_from_row, read_state
from tasks.ledger.jobs import is_wanted

IS_OPEN = jobs.c.state.in_(OPEN_STATES) & (is_wanted() | jobs.c.state.in_(IN_FLIGHT_STATES))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A job to continue, and how far it came before."""

    job: Job
    state: JobState
    attempts: int
    """Attempts made so far; the last one is unfinished when the state is not `planned`."""
    prediction: Prediction | None = None
    """Of the unfinished attempt, when its id is known."""
    started_at_us: int | None = None
    """When the last attempt began."""
    sent_at_us: int | None = None
    """When the last attempt began by the service's clock; None where the service had not told its time."""
    reserved_micros: int | None = None
    """The budget's amount for the last attempt: its cost, or its reservation while that is unknown."""
    asked_again: bool = False
    """The last attempt ended without an image, may have been billed, and the user asked for another one."""
    withdrawn: bool = False
    """The last manifest does not want it: an attempt in flight is collected, and nothing more is sent."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A range of open jobs that one task run works through."""

    number: int
    """Starts at 1."""
    first: int
    """Sort key of its first job."""
    last: int
    """Sort key of its last job."""
    jobs: int
    label: str
    """Of its first job, for people."""
    planned_run: int | None = None
    """Only jobs planned by this run count, though others lie between them; None: all."""
    backend: str | None = None
    """Only jobs of this backend count, though others lie between them; None: all."""

    @property
    def range_label(self) -> str:
        """Name of the shard for people."""
        return f"shard {self.number}: {self.jobs} jobs from {self.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Filter on the open jobs."""

    limit: int | None = None
    """Only the first so many, in manifest order."""
    planned_run: int | None = None
    """Only those that this run has planned."""
    backend: str | None = None
    """Only those of this backend."""
    last: int | None = None
    """Only those up to this sort key."""


EVERYTHING = Selection()


async def bound_selection(engine: AsyncEngine, selection: Selection) -> Selection:
    """Turn a limit into the sort key of its last job, so that parts of the selection can be read apart."""
    if selection.limit is None:
        return selection
    query = select(jobs.c.position).where(_is_open(selection)).order_by(jobs.c.position).limit(selection.limit)
    positions = await fetch_rows(engine, query)
    return replace(selection, limit=None, last=positions[-1].position if positions else -1)


async def list_shards(engine: AsyncEngine, size: int, selection: Selection) -> AsyncIterator[Shard]:
    """The selected open jobs in manifest order, cut into ranges of `size`."""
    # Pages by sort key, not OFFSET: jobs end while the shards run, and an offset would skip others.
    number, left, after = 0, selection.limit, -1
    while left is None or left > 0:
        take = size if left is None else min(size, left)
        later = _is_open(selection) & (jobs.c.position > after)
        query = select(jobs).where(later).order_by(jobs.c.position).limit(take)
        rows = await fetch_rows(engine, query)
        if not rows:
            return
        number, after = number + 1, rows[-1].position
        left = None if left is None else left - len(rows)
        yield Shard(
            number,
            rows[0].position,
            after,
            len(rows),
            job_from_row(rows[0]).label,
            selection.planned_run,
            selection.backend,
        )


async def count_open(engine: AsyncEngine, selection: Selection) -> int:
    """Count the selected jobs that are left to do."""
    [(found,)] = await fetch_rows(engine, select(func.count()).select_from(jobs).where(_is_open(selection)))
    return int(found) if selection.limit is None else min(found, selection.limit)


async def find_open_backends(engine: AsyncEngine, selection: Selection) -> list[str]:
    """Names of the backend instances that the selected open jobs use or fall back to; the limit is ignored."""
    query = select(jobs.c.backend, jobs.c.fallbacks).where(_is_open(selection)).distinct()
    routes = await fetch_rows(engine, query)
    # In the order of first use. Fallbacks too, because a job may arrive at one in the middle of the run.
    return list(dict.fromkeys(name for first, later in routes for name in (first, *filter(None, later.split(",")))))


async def find_open_jobs(
    engine: AsyncEngine,
    first: int,
    last: int,
    *,
    planned_run: int | None = None,
    backend: str | None = None,
    owner: str | None = None,
) -> list[OpenJob]:
    """The open jobs between two sort keys; a range that runs again has fewer.

    Args:
        engine: The ledger.
        first: The first sort key.
        last: The last sort key.
        planned_run: Only jobs planned by this run; None: all.
        backend: Only jobs of this backend; None: all.
        owner: Only jobs claimed by this worker; None: all.
    """
    last_attempt = and_(attempts.c.job_id == jobs.c.job_id, attempts.c.number == jobs.c.attempts)
    query = (
        select(
            jobs,
            attempts.c.started_at_us,
            attempts.c.sent_at_us,
            attempts.c.ended_at_us,
            func.coalesce(attempts.c.cost_micros, attempts.c.reserved_micros).label("reserved_micros"),
            is_wanted().label("is_wanted"),
        )
        .join(attempts, last_attempt, isouter=True)  # a job that was never sent has none
        .where(_is_open(Selection(planned_run=planned_run, backend=backend)) & jobs.c.position.between(first, last))
        .order_by(jobs.c.position)
    )
    if owner is not None:
        query = query.where(jobs.c.claimed_by == owner)
    return [_build_open_job(row) for row in await fetch_rows(engine, query)]


def _is_open(selection: Selection) -> ColumnElement[bool]:
    meant = IS_OPEN
    if selection.planned_run is not None:
        meant &= jobs.c.planned_run == selection.planned_run
    if selection.backend is not None:
        meant &= jobs.c.backend == selection.backend
    return meant if selection.last is None else meant & (jobs.c.position <= selection.last)


def _build_open_job(row: Any) -> OpenJob:
    known = row.prediction_id is not None and row.state in IN_FLIGHT_STATES
    return OpenJob(
        job=job_from_row(row),
        state=read_state(row.state),
        attempts=row.attempts,
        prediction=Prediction(prediction_id=row.prediction_id, model_version=row.model_version) if known else None,
        started_at_us=row.started_at_us,
        sent_at_us=row.sent_at_us,
        reserved_micros=row.reserved_micros,
        # Only `reopen` puts a job in flight whose attempt has ended.
        asked_again=row.state != JobState.PLANNED and row.ended_at_us is not None,
        withdrawn=not row.is_wanted,
    )
