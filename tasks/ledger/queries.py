"""What stands in the ledger: open jobs for generation, pages for the metadata table, counts, usage rows.

Everything is read in pages by the sort key, so memory does not grow with the batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, func, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import Counts, EndedFilter, Job, JobState, Prediction
from tasks.ledger.database.schema import attempts, jobs, runs
from tasks.ledger.database.transactions import execute, fetch_mappings, fetch_rows
from tasks.ledger.jobs import IN_FLIGHT, ROWS_PER_COMMIT, job_from_row, match_ended

IN_ORDER = (jobs.c.position, jobs.c.job_id)
"""Manifest order, and one of jobs that share a place: a run of a part of an edited manifest moves some, and not others."""
OPEN_STATES = (JobState.PLANNED, *IN_FLIGHT)
IS_OPEN = jobs.c.state.in_(OPEN_STATES) & (jobs.c.withdrawn.is_(False) | jobs.c.state.in_(IN_FLIGHT))
PAGE_ROWS = 2_000
AttemptKey = tuple[str, int]
"""Of an attempt: job_id and number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A job to go on with, and how far it came before."""

    job: Job
    state: JobState
    attempts: int
    """Attempts made so far; the last one is unfinished when the state is not `planned`."""
    prediction: Prediction | None
    """Of the unfinished attempt, when its id is known."""
    started_at_us: int | None
    """When the last attempt began."""
    reserved_micros: int | None
    """What the budget counts for the last attempt already: its cost, or its reservation while that is not known."""
    asked_again: bool
    """The last attempt ended without a picture but may have cost something, and the user asked for another one."""
    withdrawn: bool = False
    """Its row has left the manifest: what is in flight is collected, and nothing more is sent."""


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
    """Only jobs that this run has planned are meant, though others lie between them; None: all."""

    @property
    def range_label(self) -> str:
        """For people, where it is more than one job."""
        return f"shard {self.number}: {self.jobs} jobs from {self.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which of the open jobs are meant."""

    limit: int | None = None
    """Only the first so many, in manifest order."""
    planned_run: int | None = None
    """Only those that this run has planned."""


async def list_shards(engine: AsyncEngine, size: int, selection: Selection) -> AsyncIterator[Shard]:
    """The selected open jobs in manifest order, cut into ranges of `size`."""
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
        yield Shard(number, rows[0].position, after, len(rows), job_from_row(rows[0]).label, selection.planned_run)


async def count_open(engine: AsyncEngine, selection: Selection) -> int:
    """How many of the selected jobs are left to do."""
    [(found,)] = await fetch_rows(engine, select(func.count()).select_from(jobs).where(_is_open(selection)))
    return int(found) if selection.limit is None else min(found, selection.limit)


async def find_open_backends(engine: AsyncEngine, selection: Selection) -> list[str]:
    """Names of the backend instances that the selected open jobs need, or fall back to; their limit aside."""
    query = select(jobs.c.backend, jobs.c.fallbacks).where(_is_open(selection)).distinct()
    routes = await fetch_rows(engine, query)
    return list(dict.fromkeys(name for first, later in routes for name in (first, *filter(None, later.split(",")))))


async def find_open_jobs(
    engine: AsyncEngine, first: int, last: int, *, planned_run: int | None = None, owner: str | None = None
) -> list[OpenJob]:
    """The jobs between two sort keys that are still open; fewer than at first when the range runs again.

    With a run only those that it has planned, with an owner only those that it has claimed.
    """
    last_attempt = and_(attempts.c.job_id == jobs.c.job_id, attempts.c.number == jobs.c.attempts)
    query = (
        select(
            jobs,
            attempts.c.started_at_us,
            attempts.c.ended_at_us,
            func.coalesce(attempts.c.cost_micros, attempts.c.reserved_micros).label("reserved_micros"),
        )
        .join(attempts, last_attempt, isouter=True)
        .where(_is_open(Selection(planned_run=planned_run)) & jobs.c.position.between(first, last))
        .order_by(jobs.c.position)
    )
    if owner is not None:
        query = query.where(jobs.c.claimed_by == owner)
    return [_build_open_job(row) for row in await fetch_rows(engine, query)]


async def find_prediction_ids(engine: AsyncEngine, job: Job) -> frozenset[str]:
    """The provider's ids that are some attempt's already, among all jobs that may have sent the same input.

    Rows that repeat with a seed of their own, and models that take no seed, make jobs of equal inputs.
    """
    alike = (jobs.c.model == job.model) & (jobs.c.prompt == job.prompt)
    query = select(attempts.c.prediction_id).join(jobs, jobs.c.job_id == attempts.c.job_id)
    known = await fetch_rows(engine, query.where(alike & attempts.c.prediction_id.is_not(None)))
    return frozenset(prediction_id for (prediction_id,) in known)


def _is_open(selection: Selection) -> Any:
    return IS_OPEN if selection.planned_run is None else IS_OPEN & (jobs.c.planned_run == selection.planned_run)


EVERYTHING = Selection()


def _build_open_job(row: Any) -> OpenJob:
    known = row.prediction_id is not None and row.state == JobState.SUBMITTED
    return OpenJob(
        job=job_from_row(row),
        state=JobState(row.state),
        attempts=row.attempts,
        prediction=Prediction(prediction_id=row.prediction_id, model_version=row.model_version) if known else None,
        started_at_us=row.started_at_us,
        reserved_micros=row.reserved_micros,
        asked_again=row.state != JobState.PLANNED and row.ended_at_us is not None,
        withdrawn=row.withdrawn,
    )


async def count_jobs(engine: AsyncEngine) -> Counts:
    """Jobs by state and error kind, and the money of all attempts."""
    mine = jobs.c.withdrawn.is_(False)
    kinds = select(jobs.c.error_kind, func.count()).where(mine & jobs.c.error_kind.is_not(None))
    ended = attempts.c.ended_at_us.is_not(None)
    money = select(
        func.coalesce(func.sum(attempts.c.cost_micros), 0),
        func.count().filter(ended & attempts.c.cost_micros.is_(None)),
    )
    states = await fetch_rows(engine, select(jobs.c.state, func.count()).where(mine).group_by(jobs.c.state))
    errors = await fetch_rows(engine, kinds.group_by(jobs.c.error_kind).order_by(func.count().desc()))
    repeats = select(func.count()).select_from(jobs).where(mine & (jobs.c.earlier > 0))
    [(duplicates,)] = await fetch_rows(engine, repeats)
    moved = select(func.count()).select_from(jobs).where(mine & jobs.c.rerouted_from.is_not(None))
    [(rerouted,)] = await fetch_rows(engine, moved)
    [(cost, unknown)] = await fetch_rows(engine, money)
    by_state = {JobState(state).value: number for state, number in states}
    return Counts(
        total=sum(by_state.values()),
        duplicates=duplicates,
        rerouted=rerouted,
        errors={kind: number for kind, number in errors},  # noqa: C416  rows are not pairs to mypy
        cost_micros=int(cost),
        cost_unknown=int(unknown),
        **by_state,
    )


async def sum_committed_micros(engine: AsyncEngine) -> int:
    """Money that is spent or may be: known costs, and the reservations of attempts whose cost is not known."""
    of_attempt = func.coalesce(attempts.c.cost_micros, attempts.c.reserved_micros, 0)
    [(total,)] = await fetch_rows(engine, select(func.coalesce(func.sum(of_attempt), 0)))
    return int(total)


async def find_last_activity_us(engine: AsyncEngine) -> int | None:
    """When anything last happened in the batch, in microseconds since 1970 UTC."""
    columns = (attempts.c.ended_at_us, attempts.c.started_at_us, runs.c.ended_at_us, runs.c.started_at_us)
    latest = [await fetch_rows(engine, select(func.max(column))) for column in columns]
    return max((int(instant) for [(instant,)] in latest if instant is not None), default=None)


def come_after(position: int, job_id: str) -> ColumnElement[bool]:
    """The jobs that come later in `IN_ORDER`."""
    return (jobs.c.position >= position) & ((jobs.c.position > position) | (jobs.c.job_id > job_id))


async def read_job_pages(engine: AsyncEngine) -> AsyncIterator[Sequence[RowMapping]]:
    """Every job of the batch in manifest order, as the ledger has it, some thousands at a time."""
    later: ColumnElement[bool] = true()
    while True:
        query = select(jobs).where(jobs.c.withdrawn.is_(False) & later).order_by(*IN_ORDER).limit(PAGE_ROWS)
        rows = await fetch_mappings(engine, query)
        if not rows:
            return
        later = come_after(rows[-1]["position"], rows[-1]["job_id"])
        yield rows


async def find_failures(engine: AsyncEngine, limit: int) -> Sequence[RowMapping]:
    """The first failed or held jobs in manifest order: what people need to find and mend them."""
    columns = (jobs.c.id, jobs.c.line, jobs.c.state, jobs.c.error_kind, jobs.c.error_message, jobs.c.prompt)
    ended_badly = jobs.c.state.in_((JobState.FAILED, JobState.HELD)) & jobs.c.withdrawn.is_(False)
    return await fetch_mappings(engine, select(*columns).where(ended_badly).order_by(jobs.c.position).limit(limit))


async def read_usage_pages(
    engine: AsyncEngine, size: int, *, without: Collection[AttemptKey] = ()
) -> AsyncIterator[Sequence[RowMapping]]:
    """Successful attempts whose usage row has not been pushed.

    A page must be marked, or its rows be put into `without`, before the next is asked for.

    The caller of each is that of the run in which it began, which is the run that paid for it: runs of one
    folder never overlap.
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


async def read_ended_pages(engine: AsyncEngine, ended: EndedFilter) -> AsyncIterator[list[Job]]:
    """The jobs that ended so, some thousands at a time."""
    async for page in _read_pages(engine, match_ended(ended)):
        yield page


async def _read_pages(engine: AsyncEngine, which: ColumnElement[bool]) -> AsyncIterator[list[Job]]:
    later: ColumnElement[bool] = true()
    while True:
        query = select(jobs).where(which & later).order_by(*IN_ORDER).limit(ROWS_PER_COMMIT)
        page = [job_from_row(row) for row in await fetch_rows(engine, query)]
        if not page:
            return
        later = come_after(page[-1].position, page[-1].job_id)
        yield page
