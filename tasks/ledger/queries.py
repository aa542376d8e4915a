"""Reads of the whole batch: counts, money, failures, and pages of jobs in manifest order.

Pages follow the sort key, so memory does not grow with the batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, func, select, true
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.memory import split_chunks
from tasks.core.records import NO_IMAGE_STATES, Counts, EndedFilter, Job, JobState
from tasks.ledger.database.schema import attempts, jobs, runs
from tasks.ledger.database.transactions import fetch_mappings, fetch_rows
from tasks.ledger.job_rows import job_from_row, read_state
from tasks.ledger.jobs import is_wanted, match_ended
from tasks.ledger.verdicts import SELECT_JOBS

IN_ORDER = (jobs.c.position, jobs.c.job_id)
"""Manifest order. Jobs can share a position after a partial run of an edited manifest, so `job_id` decides there."""


ID_DIGITS = 12
"""Of a job_id, as in file names."""
PAGE_ROWS = 2_000


async def find_prediction_ids(engine: AsyncEngine, job: Job) -> frozenset[str]:
    """Ids of all attempts whose jobs have the model and prompt of this one: they may have sent the same input."""
    alike = (jobs.c.model == job.model) & (jobs.c.prompt == job.prompt)
    query = select(attempts.c.prediction_id).join(jobs, jobs.c.job_id == attempts.c.job_id)
    known = await fetch_rows(engine, query.where(alike & attempts.c.prediction_id.is_not(None)))
    return frozenset(prediction_id for (prediction_id,) in known)


async def find_attempts_by_id(
    engine: AsyncEngine, ids: Collection[str], *, model: str | None = None
) -> dict[str, set[tuple[str, int]]]:
    """Attempts (job_id, number) that have these prediction ids, whatever their model and prompt.

    Args:
        engine: The ledger.
        ids: Ids of a service.
        model: Only attempts of this model; None: all.
    """
    found: dict[str, set[tuple[str, int]]] = {}
    for chunk in split_chunks(sorted(ids)):
        of_attempts = select(attempts.c.prediction_id, attempts.c.job_id, attempts.c.number)
        of_attempts = of_attempts.where(attempts.c.prediction_id.in_(chunk))
        # A ledger of an earlier version may hold an id with the job only.
        of_jobs = select(jobs.c.prediction_id, jobs.c.job_id, jobs.c.attempts).where(jobs.c.prediction_id.in_(chunk))
        if model is not None:
            of_attempts = of_attempts.join(jobs, jobs.c.job_id == attempts.c.job_id).where(jobs.c.model == model)
            of_jobs = of_jobs.where(jobs.c.model == model)
        for prediction_id, job_id, number in await fetch_rows(engine, of_attempts.union(of_jobs)):
            found.setdefault(prediction_id, set()).add((job_id, number))
    return found


async def count_jobs(engine: AsyncEngine) -> Counts:
    """Jobs by state and error kind, and the money of all attempts."""
    # Jobs that left the manifest are not counted; the money of their attempts is.
    mine = jobs.c.withdrawn.is_(False)
    kinds = select(jobs.c.error_kind, func.count()).where(mine & jobs.c.error_kind.is_not(None))
    ended = attempts.c.ended_at_us.is_not(None)
    money = select(
        func.coalesce(func.sum(attempts.c.cost_micros), 0),
        # An attempt in flight has no cost yet; that is not an unknown one.
        func.count().filter(ended & attempts.c.cost_micros.is_(None)),
    )
    states = await fetch_rows(engine, select(jobs.c.state, func.count()).where(mine).group_by(jobs.c.state))
    errors = await fetch_rows(engine, kinds.group_by(jobs.c.error_kind).order_by(func.count().desc()))
    repeats = select(func.count()).select_from(jobs).where(mine & (jobs.c.earlier > 0))
    [(duplicates,)] = await fetch_rows(engine, repeats)
    moved = select(func.count()).select_from(jobs).where(mine & jobs.c.rerouted_from.is_not(None))
    [(rerouted,)] = await fetch_rows(engine, moved)
    taken = select(func.count()).select_from(jobs).where(mine & jobs.c.reused_from.is_not(None))
    [(reused,)] = await fetch_rows(engine, taken)
    stale = select(func.count()).select_from(jobs).where(mine & (jobs.c.state == JobState.PLANNED) & ~is_wanted())
    [(unwanted,)] = await fetch_rows(engine, stale)
    [(cost, unknown)] = await fetch_rows(engine, money)
    by_state = {read_state(state).value: number for state, number in states}
    return Counts(
        total=sum(by_state.values()),
        duplicates=duplicates,
        rerouted=rerouted,
        reused=reused,
        unwanted=unwanted,
        errors={kind: number for kind, number in errors},  # noqa: C416  rows are not pairs to mypy
        cost_micros=int(cost),
        cost_unknown=int(unknown),
        **by_state,
    )


async def sum_committed_micros(engine: AsyncEngine) -> int:
    """Money spent, in millionths of a dollar: known costs, and the reservation where a cost is not known."""
    of_attempt = func.coalesce(attempts.c.cost_micros, attempts.c.reserved_micros, 0)
    [(total,)] = await fetch_rows(engine, select(func.coalesce(func.sum(of_attempt), 0)))
    return int(total)


async def find_greatest_reservation(engine: AsyncEngine) -> int:
    """The most that was reserved for one attempt, in millionths of a dollar; 0 where nothing was."""
    [(most,)] = await fetch_rows(engine, select(func.coalesce(func.max(attempts.c.reserved_micros), 0)))
    return int(most)


async def find_last_activity_us(engine: AsyncEngine) -> int | None:
    """Time of the last event in the batch, in microseconds since 1970 UTC; None before the first."""
    columns = (attempts.c.ended_at_us, attempts.c.started_at_us, runs.c.ended_at_us, runs.c.started_at_us)
    # One query a column: the greatest of several is written differently in SQLite and PostgreSQL.
    latest = [await fetch_rows(engine, select(func.max(column))) for column in columns]
    return max((int(instant) for [(instant,)] in latest if instant is not None), default=None)


async def read_job_pages(engine: AsyncEngine) -> AsyncIterator[Sequence[RowMapping]]:
    """Every job of the batch in manifest order, `PAGE_ROWS` rows at a time."""
    later: ColumnElement[bool] = true()
    while True:
        query = SELECT_JOBS.where(jobs.c.withdrawn.is_(False) & later).order_by(*IN_ORDER).limit(PAGE_ROWS)
        rows = await fetch_mappings(engine, query)
        if not rows:
            return
        later = come_after(rows[-1]["position"], rows[-1]["job_id"])
        yield rows


async def read_chosen_pages(engine: AsyncEngine, job_ids: Collection[str]) -> AsyncIterator[Sequence[RowMapping]]:
    """Those of these jobs that `read_job_pages` gives, in the same order."""
    if len(job_ids) > PAGE_ROWS:
        async for page in read_job_pages(engine):
            yield [row for row in page if row["job_id"] in job_ids]
        return
    # Up to a page of them is looked up: a few images of a large batch are no reason to read all of it.
    rows: list[RowMapping] = []
    for chunk in split_chunks(sorted(job_ids)):
        rows += await fetch_mappings(engine, SELECT_JOBS.where(jobs.c.withdrawn.is_(False) & jobs.c.job_id.in_(chunk)))
    yield sorted(rows, key=lambda row: (row["position"], row["job_id"]))


async def read_made_pages(engine: AsyncEngine) -> AsyncIterator[Sequence[tuple[str, str]]]:
    """Job id and file name of every image that the last manifest wants, `PAGE_ROWS` at a time."""
    later: ColumnElement[bool] = true()
    columns = (jobs.c.job_id, jobs.c.file_name, jobs.c.position)
    while True:
        made = is_wanted() & (jobs.c.state == JobState.SUCCEEDED) & later
        rows = await fetch_rows(engine, select(*columns).where(made).order_by(*IN_ORDER).limit(PAGE_ROWS))
        if not rows:
            return
        later = come_after(rows[-1].position, rows[-1].job_id)
        yield [(row.job_id, row.file_name) for row in rows]


async def find_failures(engine: AsyncEngine, limit: int) -> Sequence[RowMapping]:
    """The first failed or held jobs in manifest order, with what a person needs to find them."""
    columns = (jobs.c.id, jobs.c.line, jobs.c.state, jobs.c.error_kind, jobs.c.error_message, jobs.c.prompt)
    ended_badly = jobs.c.state.in_(NO_IMAGE_STATES) & jobs.c.withdrawn.is_(False)
    return await fetch_mappings(engine, select(*columns).where(ended_badly).order_by(jobs.c.position).limit(limit))


async def find_reasons(engine: AsyncEngine) -> dict[str, dict[str, Any]]:
    """For each error kind its first job in manifest order: `job` (its id, else the start of its job_id), `state`, `message`."""
    mine = jobs.c.error_kind.is_not(None) & jobs.c.withdrawn.is_(False)
    first = (
        select(jobs.c.error_kind, func.min(jobs.c.position).label("position")).where(mine).group_by(jobs.c.error_kind)
    )
    chosen = first.subquery()
    same = (jobs.c.error_kind == chosen.c.error_kind) & (jobs.c.position == chosen.c.position) & mine
    columns = (jobs.c.error_kind, jobs.c.id, jobs.c.job_id, jobs.c.state, jobs.c.error_message)
    rows = await fetch_rows(engine, select(*columns).join(chosen, same))
    return {
        kind: {"job": name or job_id[:ID_DIGITS], "state": state, "message": message}
        for kind, name, job_id, state, message in rows
    }


async def find_first_images(engine: AsyncEngine, limit: int) -> list[tuple[str, str]]:
    """The first jobs with an image in manifest order: label and file name."""
    made = (jobs.c.state == JobState.SUCCEEDED) & jobs.c.withdrawn.is_(False) & jobs.c.file_name.is_not(None)
    query = select(jobs).where(made).order_by(*IN_ORDER).limit(limit)
    return [(job_from_row(row).label, row.file_name) for row in await fetch_rows(engine, query)]


async def read_ended_pages(engine: AsyncEngine, ended: EndedFilter) -> AsyncIterator[list[Job]]:
    """The jobs that match the filter in manifest order, `PAGE_ROWS` at a time."""
    async for page in read_pages(engine, match_ended(ended)):
        yield page


async def read_pages(engine: AsyncEngine, which: ColumnElement[bool]) -> AsyncIterator[list[Job]]:
    """The jobs that match a condition in manifest order, `PAGE_ROWS` at a time."""
    later: ColumnElement[bool] = true()
    while True:
        query = select(jobs).where(which & later).order_by(*IN_ORDER).limit(PAGE_ROWS)
        page = [job_from_row(row) for row in await fetch_rows(engine, query)]
        if not page:
            return
        later = come_after(page[-1].position, page[-1].job_id)
        yield page


def come_after(position: int, job_id: str) -> ColumnElement[bool]:
    """Condition for the jobs that follow this one in `IN_ORDER`."""
    return (jobs.c.position >= position) & ((jobs.c.position > position) | (jobs.c.job_id > job_id))
