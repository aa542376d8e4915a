"""Find one job and its attempts by an id, a job_id prefix or a file name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PureWindowsPath
from string import hexdigits
from typing import Any

from sqlalchemy import ColumnElement, Row, RowMapping, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import InputError
from tasks.core.memory import split_chunks
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.verdicts import SELECT_JOBS

SHORTEST_PREFIX = 4  # hex digits; fewer match too many jobs of any batch
SHOWN = 10
"""Maximum number of candidates in a message."""
PROMPT_SHOWN = 50
"""Characters of each candidate's prompt."""


async def find_job(engine: AsyncEngine, out: object, wanted: str) -> RowMapping:
    """The job named by a row's id, a job_id or its prefix, or an image's file name.

    A row's id wins over a job_id prefix, and jobs in the manifest win over those that left it.

    Raises:
        InputError: There is none, or there are several; they are listed.
    """
    job_id = await _choose_job(engine, out, wanted, await _find_matching(engine, jobs.c.id == wanted))
    async with engine.connect() as db:
        return (await db.execute(SELECT_JOBS.where(jobs.c.job_id == job_id))).mappings().one()


async def find_job_ids(engine: AsyncEngine, out: object, names: Sequence[str]) -> list[str]:
    """The job_id of each name of a long list, each found as `find_job` finds it.

    Raises:
        InputError: As `find_job`, for the first name that is none.
    """
    found: list[str] = []
    for chunk in split_chunks(names):
        # Row ids have no index: one look through the table serves the whole chunk.
        rows: dict[str, list[RowMapping]] = {}
        for row in await _find_matching(engine, jobs.c.id.in_(chunk), limit=None):
            rows.setdefault(row["id"], []).append(row)
        # Of job ids, which a page copies by the thousand, one look does the same for all that no row has as its id.
        whole = await _find_whole_ids(engine, [name for name in chunk if name not in rows])
        found += [name if name in whole else await _choose_job(engine, out, name, rows.get(name, [])) for name in chunk]
    return found


async def _find_whole_ids(engine: AsyncEngine, names: Sequence[str]) -> set[str]:
    async with engine.connect() as db:
        return set((await db.execute(select(jobs.c.job_id).where(jobs.c.job_id.in_(names)))).scalars())


async def _choose_job(engine: AsyncEngine, out: object, wanted: str, by_id: Sequence[RowMapping]) -> str:
    """The job_id that a name means, given the rows that have it as their id."""
    found = by_id or await _find_file(engine, wanted)
    start = wanted.lower()
    # Last: an id of the manifest may look like hex digits.
    if not found and len(start) >= SHORTEST_PREFIX and set(start) <= set(hexdigits):
        # A range of the primary key; LIKE would read the whole table.
        found = await _find_matching(engine, jobs.c.job_id.between(start, start + "g"))
    found = [row for row in found if not row["withdrawn"]] or found
    if len(found) == 1:
        return str(found[0]["job_id"])
    if not found:
        raise InputError(
            f"{out}: no row has the id {wanted!r}, no image has that file name, and no job_id begins so "
            f"(at least {SHORTEST_PREFIX} digits); the table is {out}/metadata.parquet"
        )
    raise InputError(_list_candidates(out, wanted, found))


async def find_job_row(engine: AsyncEngine, job_id: str) -> Row[Any] | None:
    """The job with this job_id; None where there is none."""
    async with engine.connect() as db:
        return (await db.execute(select(jobs).where(jobs.c.job_id == job_id))).one_or_none()


async def find_job_rows(engine: AsyncEngine, job_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The jobs with these job ids, which must exist, by their ids."""
    found: dict[str, Row[Any]] = {}
    async with engine.connect() as db:
        for chunk in split_chunks(job_ids):
            rows = await db.execute(select(jobs).where(jobs.c.job_id.in_(chunk)))
            found.update({row.job_id: row for row in rows})
    return found


async def find_jobs_by_run(engine: AsyncEngine, run: int) -> Sequence[RowMapping]:
    """The files and ends of the jobs that this run planned, in manifest order; for runs of a few jobs."""
    async with engine.connect() as db:
        columns = (jobs.c.file_name, jobs.c.state, jobs.c.error_kind, jobs.c.error_message)
        query = select(*columns).where(jobs.c.planned_run == run).order_by(jobs.c.position, jobs.c.job_id)
        return (await db.execute(query)).mappings().all()


async def find_jobs_by_salt(engine: AsyncEngine, salt: str) -> Sequence[Row[Any]]:
    """Every job planned with this salt. All rows are loaded, so the salt should be that of a few jobs."""
    async with engine.connect() as db:
        return (await db.execute(select(jobs).where(jobs.c.salt == salt))).all()


async def find_ids_by_prefix(engine: AsyncEngine, start: str, *, limit: int | None = None) -> frozenset[str]:
    """Ids of rows that begin with this text; of many, so many at most."""
    async with engine.connect() as db:
        begins = jobs.c.id.startswith(start, autoescape=True)  # `_` and `%` are common in ids
        query = select(jobs.c.id).where(begins).distinct().limit(limit)
        return frozenset((await db.execute(query)).scalars())


async def find_ids_holding(engine: AsyncEngine, part: str) -> frozenset[str]:
    """Ids of rows that hold this text."""
    async with engine.connect() as db:
        query = select(jobs.c.id).where(jobs.c.id.contains(part, autoescape=True)).distinct()
        return frozenset((await db.execute(query)).scalars())


async def get_attempts(engine: AsyncEngine, job_id: str) -> Sequence[RowMapping]:
    """The job's attempts, the first one first."""
    async with engine.connect() as db:
        query = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
        return (await db.execute(query)).mappings().all()


async def _find_file(engine: AsyncEngine, wanted: str) -> Sequence[RowMapping]:
    """The job whose file this is: by its name alone, or with any folders in front, as file managers and shells give it."""
    name = PureWindowsPath(wanted).name  # it knows both kinds of slashes
    # Every file name ends in the first digits of its job_id, which are a range of the primary key.
    start = PureWindowsPath(name).stem.rpartition("-")[2]
    if len(start) < SHORTEST_PREFIX or not set(start) <= set(hexdigits):
        return []
    rows = await _find_matching(engine, jobs.c.job_id.between(start, start + "g"))
    return [row for row in rows if row["file_name"] is not None and PureWindowsPath(row["file_name"]).name == name]


async def _find_matching(
    engine: AsyncEngine,
    condition: ColumnElement[bool],
    *,
    limit: int | None = SHOWN + 1,  # one more than is shown tells that there are more
) -> Sequence[RowMapping]:
    async with engine.connect() as db:
        # Without verdicts: they are ranked for the whole batch, which is too much for each name of a list.
        query = select(jobs).where(condition).order_by(jobs.c.position).limit(limit)
        return (await db.execute(query)).mappings().all()


def _list_candidates(out: object, wanted: str, found: Sequence[RowMapping]) -> str:
    more = ["  ..."] if len(found) > SHOWN else []
    lines = [f"  {row['job_id'][:12]}  {_describe(row)}" for row in found[:SHOWN]]
    return "\n".join([f"{out}: {wanted!r} matches several images; use a job_id from the first column:", *lines, *more])


def _describe(row: RowMapping) -> str:
    prompt = " ".join(row["prompt"].split())
    short = prompt if len(prompt) <= PROMPT_SHOWN else f"{prompt[: PROMPT_SHOWN - 1]}…"
    return f"{row['id'] or '-'} #{row['sample']}  {row['state']}  seed {row['seed']}  {short}"
