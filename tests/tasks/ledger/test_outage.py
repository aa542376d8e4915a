"""PostgreSQL restarts, goes away or is shared: a run goes on or stops resumable, and never writes beside another."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core import retry
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import BatchLocked, BatchStopped
from tasks.core.records import JobState
from tasks.generate.batch import Batch, open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.changes import Change, apply_changes
from tasks.ledger.database import postgresql as postgresql_ledger
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import PostgresqlSchema
from tasks.ledger.database.postgresql_lock import is_held
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.database.writer import make_writer
from tasks.ledger.leases import LeaseTerms, claim
from tasks.ledger.queries import count_jobs
from tasks.ledger.runs import RunStart, begin_run
from tasks.store.output.folder import OutputFolder
from tests.support.factories import START_US, make_job, plan_jobs
from tests.support.services.postgresql import Postgresql
from tests.support.waiting import PATIENCE_S
from tests.tasks.ledger.conftest import begin_on, on_disk

TERMS = LeaseTerms(owner="anna")
STUCK = "idle_in_transaction_session_timeout"
START = RunStart(manifest=None, salt=None, budget_micros=None, settings="{}", caller="x")
SLOW = Settings(
    backends={"sketch": BackendSettings.model_validate({"type": "sketch", "latency_s": 0.1, "concurrency": 4})}
)


@pytest.fixture
def place(server: Postgresql, tmp_path: Path) -> PostgresqlSchema:
    """A batch's ledger on the session's server."""
    out = tmp_path / "out"
    out.mkdir()
    return begin_on(server, out)


async def restart(server: Postgresql, *, away_s: float = 0.0) -> None:
    """End the server as a crash would, and start it again."""
    server.stop()  # in the event loop: however long it takes, no job goes on meanwhile
    await asyncio.sleep(away_s)
    await asyncio.to_thread(server.start)


async def some_done(engine: AsyncEngine) -> None:
    """Wait for the first pictures."""
    while not (await count_jobs(engine)).succeeded:
        await asyncio.sleep(0.05)


async def test_a_restart_in_the_middle_costs_nothing(place: PostgresqlSchema, server: Postgresql) -> None:
    """Every job is done with one attempt, though the server crashed and was away for seconds."""
    async with (
        open_ledger(place, alone=True) as engine,
        open_batch(OutputFolder(place.out), engine, SLOW, budget_micros=None) as batch,
    ):
        await plan_jobs(engine, [make_job(number) for number in range(60)])
        work = asyncio.create_task(generate_range(batch, 0, 99))
        await some_done(engine)
        assert not work.done()
        await restart(server, away_s=2.0)
        await work
        assert batch.stop.cause is None
        assert await on_disk(place.out, "SELECT state, number, count(*) FROM attempts GROUP BY 1, 2") == [
            ("succeeded", 1, 60)
        ]


async def test_a_server_that_stays_away_stops_the_batch(
    place: PostgresqlSchema, server: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumable and with one clear line; what was sent is found again, and nothing is paid twice."""
    monkeypatch.setattr(retry, "LEDGER_PATIENCE_S", 1.0)

    async def generate(batch: Batch) -> BatchStopped | None:
        work = asyncio.create_task(generate_range(batch, 0, 99))
        await some_done(batch.engine)
        server.stop()  # in the event loop: no job goes on meanwhile
        await work
        return batch.stop.cause

    async with open_ledger(place, alone=True) as engine:
        await plan_jobs(engine, [make_job(number) for number in range(60)])
        async with open_batch(OutputFolder(place.out), engine, SLOW, budget_micros=None) as batch:
            try:
                cause = await generate(batch)
            finally:
                server.start()
    assert cause is not None
    assert (cause.reason, cause.exit_code) == ("ledger", 3)
    assert f"127.0.0.1:{server.port}/postgres cannot be reached" in str(cause)
    async with (
        open_ledger(place, alone=True) as engine,
        open_batch(OutputFolder(place.out), engine, SLOW, budget_micros=None) as batch,
    ):
        await generate_range(batch, 0, 99)
        assert (await count_jobs(engine)).succeeded == 60
    twice = "SELECT job_id FROM attempts WHERE submitted_at_us IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
    assert await on_disk(place.out, twice) == []


async def test_a_server_that_does_not_answer_stops_the_batch(
    place: PostgresqlSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that stands and gives no answer is a ledger that is away: resumable, and no error of ours."""
    async with open_ledger(place) as other:
        await plan_jobs(other, [make_job(number) for number in range(8)])
        monkeypatch.setattr(retry, "LEDGER_PATIENCE_S", 0.5)
        monkeypatch.setattr(postgresql_ledger, "ANSWER_TIMEOUT_S", 3.0)
        async with (
            open_ledger(place) as engine,
            open_batch(OutputFolder(place.out), engine, SLOW, budget_micros=None) as batch,
            other.connect() as db,
        ):
            await db.exec_driver_sql("LOCK TABLE attempts")
            with pytest.raises(BatchStopped, match="gave no answer"):
                await fetch_rows(engine, select(attempts))
            with pytest.raises(BatchStopped, match="gave no answer"):
                await batch.journal.record_intent(make_job(), number=1, reserved_micros=None, now_us=START_US)
            await db.rollback()


async def test_the_end_of_a_run_waits_for_no_frozen_server(
    place: PostgresqlSchema, server: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is given back with its connection, whether or not the server says that it took it back."""
    lock: int | None = None

    async def hold() -> None:
        nonlocal lock
        async with open_ledger(place, alone=True):
            [(lock,)] = await server.fetch("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
            os.kill(lock, signal.SIGSTOP)
            monkeypatch.setattr(postgresql_ledger, "CONNECT_TIMEOUT_S", 1.0)

    try:
        await asyncio.wait_for(hold(), PATIENCE_S)
    finally:
        if lock is not None:
            os.kill(lock, signal.SIGCONT)


async def test_a_group_whose_answer_was_lost_is_written_once(place: PostgresqlSchema) -> None:
    """A commit may have happened although its connection broke: the same group again changes nothing."""
    job_id = make_job().job_id
    started = {"backend": "sketch", "started_at_us": START_US, "reserved_micros": 3_000}
    group = {
        Change.ATTEMPT_STARTED: [{"a_job_id": job_id, "a_number": 1, **started}],
        Change.JOB_SUBMITTING: [{"a_job_id": job_id, "attempts": 1}],
    }
    async with open_ledger(place) as engine:
        await plan_jobs(engine, [make_job()])
        writer = make_writer(engine)
        for _ in range(2):
            assert await writer.write(lambda db: apply_changes(db, group, None)) == frozenset()
        assert await on_disk(place.out, "SELECT state, attempts FROM jobs") == [(JobState.SUBMITTING, 1)]
        assert await on_disk(place.out, "SELECT number, reserved_micros FROM attempts") == [(1, 3_000)]


async def test_a_worker_stopped_in_a_commit_keeps_its_jobs_from_nobody(place: PostgresqlSchema) -> None:
    """The server gives up its transaction; until then others take the jobs that it does not hold."""
    held, free = make_job(0), make_job(1)
    async with open_ledger(place) as engine:
        await plan_jobs(engine, [held, free])
        async with open_ledger(place) as stopped, stopped.connect() as db:
            await db.execute(select(jobs.c.job_id).where(jobs.c.job_id == held.job_id).with_for_update())
            assert [entry.job for entry in await claim(engine, 0, 99, TERMS)] == [free]
            assert (await db.exec_driver_sql(f"SHOW {STUCK}")).scalar_one() == f"{postgresql_ledger.STUCK_S}s"
            await db.exec_driver_sql(f"SET {STUCK} = '1ms'")
            while not (claimed := await claim(engine, 0, 99, TERMS)):
                await asyncio.sleep(0.1)
            assert [entry.job for entry in claimed] == [held]
            with suppress(DBAPIError):
                await db.rollback()


async def test_one_run_at_a_time(place: PostgresqlSchema) -> None:
    """A second run is refused with the first one's process; readers are not, and see that it lives."""
    async with open_ledger(place, alone=True) as engine:
        await begin_run(engine, START, now_us=START_US)
        with pytest.raises(BatchLocked, match=r"process \d+ on "):
            async with open_ledger(place, alone=True):
                pass
        async with open_ledger(place.out) as reader:
            assert await is_held(reader)
    async with open_ledger(place, alone=True):
        pass
    async with open_ledger(place.out) as reader:
        assert not await is_held(reader)


async def test_the_lock_is_held_again_after_a_restart(place: PostgresqlSchema, server: Postgresql) -> None:
    """The server forgets its locks: the run takes its own again before it writes anything."""
    async with open_ledger(place, alone=True) as engine:
        await restart(server)
        await begin_run(engine, START, now_us=START_US)
        with pytest.raises(BatchLocked):
            async with open_ledger(place, alone=True):
                pass


async def test_a_run_that_was_overtaken_in_an_outage_writes_nothing(
    place: PostgresqlSchema, server: Postgresql
) -> None:
    """Another run may come first when the server is back: the old one stops, resumable."""
    async with open_ledger(place, alone=True) as engine:
        await restart(server)
        async with open_ledger(place, alone=True):
            with pytest.raises(BatchStopped, match="another run"):
                await plan_jobs(engine, [make_job()])
        assert await on_disk(place.out, "SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    "broken", ["pg_locks WHERE locktype = 'advisory'", "pg_stat_activity WHERE application_name = 'imagen'"]
)
async def test_a_lock_whose_connection_broke_is_taken_back(
    place: PostgresqlSchema, server: Postgresql, broken: str
) -> None:
    """A dropped connection is no other run: the same one goes on, alone as before, and never without its lock."""
    async with open_ledger(place, alone=True) as engine:
        await begin_run(engine, START, now_us=START_US)
        ending = f"SELECT pg_terminate_backend(pid) FROM {broken} AND pid <> pg_backend_pid()"
        assert await server.fetch(ending)
        await begin_run(engine, START, now_us=START_US)
        # The server has been told to end it. Until the client hears of that end, it cannot know that the lock is gone.
        async with asyncio.timeout(PATIENCE_S):
            while not await is_held(engine):
                await asyncio.sleep(0.05)


async def test_a_connection_that_the_server_is_ending_is_replaced(
    place: PostgresqlSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a server's goodbye and the end of the connection its driver complains of itself; the next one is tried."""
    asked, ask = [0], asyncpg.Connection.fetchrow

    async def complain_once(connection: asyncpg.Connection, *query: str, **options: object) -> object:
        asked[0] += 1
        if asked[0] == 1:
            raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
        return await ask(connection, *query, **options)

    async with open_ledger(place, alone=True) as engine:
        monkeypatch.setattr(asyncpg.Connection, "fetchrow", complain_once)  # what a pooled connection is asked first
        await plan_jobs(engine, [make_job()])
        assert (await count_jobs(engine)).total == 1
    assert asked[0] > 1


@pytest.mark.parametrize("error", [asyncpg.InternalClientError("in progress"), TimeoutError(), ConnectionResetError()])
async def test_a_lock_whose_connection_breaks_at_the_end_is_no_error(
    place: PostgresqlSchema, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that ends the lock's connection while the batch closes its ledger gives the lock back by itself."""

    async def break_off(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as breaking:
        async with open_ledger(place, alone=True):
            breaking.setattr(asyncpg.Connection, "execute", break_off)
    async with open_ledger(place, alone=True) as engine:
        assert await is_held(engine)
