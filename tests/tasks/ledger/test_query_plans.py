"""Statements on a ledger that has been in use for long, as the databases plan them: no page or group reads a whole table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.caps.cap import CapSettings
from tasks.core.records import JobState
from tasks.ledger.accounts.caps.endings import find_unsettled
from tasks.ledger.accounts.caps.reading import read_caps
from tasks.ledger.accounts.caps.schema import SETTLED, charges
from tasks.ledger.accounts.place import build_sqlite_writer, prepare_tables
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import PostgresqlSchema
from tasks.ledger.database.postgresql import Connector, make_engine
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.database.transactions import execute, fetch_rows
from tasks.ledger.database.writer import PostgresqlWriter, SqliteWriter
from tasks.ledger.queries import read_job_pages
from tasks.ledger.runs import RunStart, begin_run
from tasks.ledger.usage import mark_pushed, read_usage_pages
from tasks.ledger.verdicts import Verdict, record_verdicts
from tests.support.factories import START_US, make_job, plan_jobs
from tests.support.query_plans import explaining
from tests.support.services.postgresql import Postgresql

ROWS = 3_000
"""So many that no database reads the whole table where it may use an index."""
CHARGE = {
    "batch": "b", "number": 1, "owner": "o", "caller": "c", "backend": "k", "model": "m", "micros": 1, "images": 1,
    "at_us": START_US,
}  # fmt: skip


async def fill(engine: AsyncEngine) -> None:
    """A ledger with many images, each with an attempt whose usage row is pending."""
    run = await begin_run(
        engine, RunStart(manifest="m", salt="", budget_micros=None, settings="{}", caller="x"), now_us=1
    )
    assert run == 1
    await plan_jobs(engine, [make_job(number) for number in range(ROWS)])
    await execute(engine, update(jobs).values(state=JobState.SUCCEEDED, attempts=1))
    ids = [job_id for (job_id,) in await fetch_rows(engine, jobs.select().with_only_columns(jobs.c.job_id))]
    ended = {
        "number": 1,
        "state": JobState.SUCCEEDED,
        "backend": "sketch",
        "started_at_us": START_US,
        "ended_at_us": START_US,
    }
    await execute(engine, insert(attempts), [{"job_id": job_id, **ended} for job_id in ids])
    given = Verdict(job_id="", reviewer="ada", verdict="pick", rating=None, note=None, at_us=START_US)
    await record_verdicts(engine, [replace(given, job_id=job_id) for job_id in ids])


async def test_pages_of_jobs_look_up_their_verdicts(out: Path) -> None:
    """A page of the table finds the judgements of its own jobs by the key, however many images were judged."""
    async with open_ledger(out, create=True) as engine:
        await fill(engine)
        with explaining(engine) as plans:
            pages = [page async for page in read_job_pages(engine)]
    assert {row["verdict"] for page in pages for row in page} == {"pick"}
    assert len(plans) > 1
    assert not [plan for plan in plans if plan.reads_whole("verdicts")]


async def test_pages_of_usage_rows_are_found_by_their_keys(out: Path) -> None:
    """Where the database's statistics are from before the push, it reads the table once for many pages, not for each."""
    async with open_ledger(out, create=True) as engine:
        await fill(engine)
        async with engine.begin() as db:
            await db.execute(text("ANALYZE"))
        pages, pushed = 0, 0
        with explaining(engine) as plans:
            async for page in read_usage_pages(engine, 10):
                pages, pushed = pages + 1, pushed + len(page)
                await mark_pushed(engine, page, now_us=START_US)
                if pages == 5:
                    break
    assert pushed == 50
    assert len([plan for plan in plans if plan.reads_whole("attempts", "jobs")]) <= 1


@pytest.fixture(params=["sqlite", "postgresql"])
def counts(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteWriter | PostgresqlWriter:
    """A place of the accounts' tables, of this test alone."""
    if request.param == "sqlite":
        return build_sqlite_writer(tmp_path / "accounts.db")
    server: Postgresql = request.getfixturevalue("server")
    asyncio.run(server.fetch("CREATE DATABASE plans"))
    place = PostgresqlSchema(out=tmp_path, url=server.url("plans"), schema="imagen_accounts")
    return PostgresqlWriter(make_engine(Connector(place)))


async def test_pending_charges_are_found_among_settled_ones(counts: SqliteWriter | PostgresqlWriter) -> None:
    """What caps have reserved is found by the state: every paid call on the account waits while it is looked for."""
    await counts.write(prepare_tables)
    rows = [{**CHARGE, "job_id": str(number), "state": SETTLED} for number in range(ROWS)]
    await counts.write(lambda db: db.execute(insert(charges), rows))
    with explaining(counts.engine) as plans:
        await counts.write(partial(find_unsettled, batch="other"))
        await read_caps(counts, [CapSettings(usd=1, per="day")], now_us=START_US)
    assert not [plan for plan in plans if plan.reads_whole("charges")]
    if isinstance(counts, PostgresqlWriter):
        await counts.engine.dispose()
    await counts.close()
