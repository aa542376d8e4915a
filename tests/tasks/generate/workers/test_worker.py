"""A worker's way through a shard, from the order alone: what runs again, or beside another worker, repeats nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.backends.sketch.backend import SketchBackend
from tasks.core.clock import Clock
from tasks.core.configuration.sections import BackendSettings, RunnerSettings, StopSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import BatchStopped, JobError, LeaseLost
from tasks.core.records import Job, Prediction
from tasks.generate.stop import StopSignal
from tasks.generate.tally import Tally
from tasks.generate.workers import worker as shard
from tasks.generate.workers.heartbeat import Heartbeat
from tasks.generate.workers.start import begin_fleet
from tasks.generate.workers.worker import ShardOrder, divide_concurrency, work_on_shard
from tasks.ledger.database import postgresql
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.postgresql import Connector
from tasks.ledger.database.schema import jobs
from tasks.ledger.journal import Journal
from tasks.ledger.leases import LeaseTerms, claim
from tasks.ledger.open_jobs import OpenJob
from tasks.ledger.queries import count_jobs
from tasks.ledger.runs import RunStart, begin_run, end_run
from tasks.ledger.worker_leases import WorkerLeases
from tasks.runs.request import RunRequest
from tasks.runs.run import open_run
from tests.support.factories import START_US, make_job, plan_jobs
from tests.support.services.postgresql import Postgresql
from tests.support.waiting import PATIENCE_S

JOBS = 12
LEASE_S = 600


async def begin(ledger: AsyncEngine, *, budget_micros: int | None = None, **backend: Any) -> int:
    """A run of a fleet over twelve jobs; its number."""
    settings = Settings(
        backends={"sketch": BackendSettings.model_validate({"type": "sketch", "concurrency": 8, **backend})},
        runner=RunnerSettings(kind="dask", lease_s=LEASE_S),
    )
    await plan_jobs(ledger, [make_job(number) for number in range(JOBS)])
    start = RunStart(
        manifest=None, salt=None, budget_micros=budget_micros, settings=settings.model_dump_json(), caller="test"
    )
    number = await begin_run(ledger, start, now_us=START_US)
    await begin_fleet(ledger, run=number)
    return number


def order(out: Path, run: int) -> ShardOrder:
    """All jobs as one shard, one of two that run at once."""
    return ShardOrder(out=str(out), run=run, first=0, last=JOBS, places=2)


async def attempts(ledger: AsyncEngine) -> int:
    """How many paid calls there were."""
    async with ledger.connect() as db:
        return int((await db.exec_driver_sql("SELECT count(*) FROM attempts")).scalar_one())


async def test_a_shard_that_runs_again_does_nothing(ledger: AsyncEngine, out: Path) -> None:
    """Dask computes finished tasks again when the worker that held their results dies."""
    run = await begin(ledger)
    await work_on_shard(order(out, run))
    assert (await count_jobs(ledger)).succeeded == JOBS
    await work_on_shard(order(out, run))
    assert await attempts(ledger) == JOBS


async def test_the_same_shard_at_two_workers_is_done_once(ledger: AsyncEngine, out: Path) -> None:
    """A worker that was taken for dead and lives: both go on, and no job is sent twice."""
    run = await begin(ledger, latency_s=0.2, budget_micros=1_000_000, price_usd=0.001)
    await asyncio.gather(work_on_shard(order(out, run)), work_on_shard(order(out, run)))
    counts = await count_jobs(ledger)
    assert (counts.succeeded, counts.cost_micros) == (JOBS, JOBS * 1_000)
    assert await attempts(ledger) == JOBS


async def test_a_worker_claims_nothing_but_what_the_run_has_planned(ledger: AsyncEngine, out: Path) -> None:
    """The first and the last job are meant, and those between them are not."""
    run = await begin(ledger)
    await plan_jobs(ledger, [make_job(0), make_job(JOBS - 1)], run=run, whole=False)
    await work_on_shard(replace(order(out, run), planned_run=run))
    counts = await count_jobs(ledger)
    assert (counts.succeeded, counts.planned) == (2, JOBS - 2)


async def test_a_worker_claims_ahead_while_its_last_jobs_take_long(ledger: AsyncEngine, out: Path) -> None:
    """A shard of one job does not keep a worker idle: it makes the others' jobs too, which are then done for them."""
    run = await begin(ledger)
    await work_on_shard(replace(order(out, run), last=0, ahead=JOBS))
    assert (await count_jobs(ledger)).succeeded > 1
    await work_on_shard(order(out, run))
    assert (await count_jobs(ledger)).succeeded == JOBS
    assert await attempts(ledger) == JOBS


async def test_a_claim_whose_answer_was_lost_holds_up_nothing(
    ledger: AsyncEngine, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that are the worker's in the ledger and not in its hands are free again before their leases end."""
    run = await begin(ledger)
    await claim(ledger, 0, JOBS, LeaseTerms(owner="me"))
    monkeypatch.setattr(shard, "make_owner", lambda: "me")
    await asyncio.wait_for(work_on_shard(order(out, run)), PATIENCE_S)
    assert (await count_jobs(ledger)).succeeded == JOBS


async def test_a_worker_that_begins_during_an_outage_waits_for_it(
    ledger: AsyncEngine, out: Path, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those do that have begun: the batch goes on when the server is back."""
    run, connect, tried = await begin(ledger), Connector._connect_once, asyncio.Event()

    async def note(connector: Connector) -> asyncpg.Connection:
        try:
            return await connect(connector)
        finally:
            tried.set()

    postgresql.stop()
    monkeypatch.setattr(Connector, "_connect_once", note)
    work = asyncio.create_task(work_on_shard(order(out, run)))
    await tried.wait()
    await asyncio.to_thread(postgresql.start)
    await work
    assert (await count_jobs(ledger)).succeeded == JOBS


async def test_rows_locked_by_a_stopped_worker_are_waited_for(
    ledger: AsyncEngine, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim passes over rows that an open transaction holds; the shard ends only when their jobs are done too."""
    run = await begin(ledger)
    monkeypatch.setattr(postgresql, "STUCK_S", 1)
    async with open_ledger(out) as stopped, stopped.connect() as transaction:
        await transaction.execute(select(jobs.c.job_id).where(jobs.c.position < 2).with_for_update())
        await work_on_shard(order(out, run))
        assert (await count_jobs(ledger)).succeeded == JOBS
        with suppress(DBAPIError):  # the server has ended it
            await transaction.rollback()


async def test_the_cap_of_the_run_holds_at_the_workers(ledger: AsyncEngine, out: Path) -> None:
    """Five pictures are paid for at two workers together, and the rest stays open."""
    run = await begin(ledger, latency_s=0.05, budget_micros=5_000, price_usd=0.001)
    await asyncio.gather(work_on_shard(order(out, run)), work_on_shard(order(out, run)))
    counts = await count_jobs(ledger)
    assert (counts.succeeded, counts.cost_micros, counts.planned) == (5, 5_000, JOBS - 5)


async def test_what_a_stop_leaves_open_is_free_at_once(ledger: AsyncEngine, out: Path) -> None:
    """Whoever resumes does not wait for leases of workers that ended in order."""
    await work_on_shard(order(out, await begin(ledger, budget_micros=2_000, price_usd=0.001)))
    async with ledger.connect() as db:
        query = "SELECT count(*) FROM jobs WHERE state = 'planned' AND claimed_by IS NOT NULL"
        assert (await db.exec_driver_sql(query)).scalar_one() == 0


async def test_an_order_of_a_run_that_is_over_does_nothing(ledger: AsyncEngine, out: Path) -> None:
    """A scheduler that outlives its run sends what it still has."""
    run = await begin(ledger)
    await end_run(ledger, run, "interrupted", now_us=START_US)
    await work_on_shard(order(out, run))
    assert await attempts(ledger) == 0


async def test_a_ledger_that_gives_no_more_jobs_lets_those_in_flight_land(
    ledger: AsyncEngine, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims fail while a picture is being made: the worker stops and stores it, and gives back what it has not begun."""
    run = await begin(ledger, concurrency=2)
    refused, mended = asyncio.Event(), asyncio.Event()
    wait, claim = SketchBackend.wait, WorkerLeases.claim

    async def wait_long(backend: SketchBackend, job: Job, prediction: Prediction) -> Prediction:
        await mended.wait()
        return await wait(backend, job, prediction)

    async def note(leases: WorkerLeases, *given: Any, **named: Any) -> list[OpenJob]:
        try:
            return await claim(leases, *given, **named)
        except BatchStopped:
            refused.set()
            raise

    monkeypatch.setattr(SketchBackend, "wait", wait_long)
    monkeypatch.setattr(WorkerLeases, "claim", note)
    work = asyncio.create_task(work_on_shard(replace(order(out, run), last=1)))
    while not (await count_jobs(ledger)).submitted:
        await asyncio.sleep(0.05)
    async with ledger.begin() as db:
        await db.exec_driver_sql("ALTER TABLE jobs RENAME COLUMN claimed_by TO gone")
    await asyncio.wait_for(refused.wait(), PATIENCE_S)
    async with ledger.begin() as db:
        await db.exec_driver_sql("ALTER TABLE jobs RENAME COLUMN gone TO claimed_by")
    mended.set()
    await work
    counts = await count_jobs(ledger)
    assert (counts.succeeded, counts.planned) == (1, JOBS - 1)


async def test_a_worker_that_wakes_up_beside_a_local_run_sends_nothing(ledger: AsyncEngine, out: Path) -> None:
    """It slept until its leases were over, so a run that takes no leases has begun: neither its job nor another is its."""
    run = await begin(ledger)
    terms = LeaseTerms(owner="asleep", run=run)
    asleep = WorkerLeases(ledger, terms, Clock())
    [held] = await asleep.claim(0, JOBS, at_most=1)
    async with ledger.begin() as db:
        await db.execute(update(jobs).where(jobs.c.claimed_by.is_not(None)).values(lease_until_us=1))
    async with open_run(RunRequest(out=str(out), runner="local")):
        await asleep.renew()
        with pytest.raises(LeaseLost):
            await Journal(ledger, terms).record_intent(held.job, number=1, reserved_micros=None, now_us=START_US)
        assert await asleep.claim(0, JOBS) == []
        stop = StopSignal()
        await Heartbeat(ledger, run=run, stop=stop, limits=StopSettings()).send(Tally())
        assert stop.interrupted


async def test_a_worker_of_an_earlier_run_begins_nothing(ledger: AsyncEngine) -> None:
    """It lives and has not heard yet: what it would spend is not in the new run's budget; what it sent may land."""
    run = await begin(ledger)
    terms = LeaseTerms(owner="earlier", run=run)
    sent, waits = [entry.job for entry in await claim(ledger, 0, 1, terms)]
    journal = Journal(ledger, terms)
    await journal.record_intent(sent, number=1, reserved_micros=1, now_us=START_US)
    await begin(ledger, budget_micros=10)
    with pytest.raises(LeaseLost):
        await journal.record_intent(waits, number=1, reserved_micros=1, now_us=START_US)
    await journal.record_failed_attempt(sent, number=1, error=JobError("no"), latency_ms=1, now_us=START_US)
    assert await attempts(ledger) == 1


async def test_a_worker_without_the_token_stops_the_batch(
    ledger: AsyncEngine, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens come from the worker's own environment: who lacks one says which, and nothing is sent."""
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    await work_on_shard(order(out, await begin(ledger, type="replicate", model="black-forest-labs/flux-schnell")))
    async with ledger.connect() as db:
        message = (await db.exec_driver_sql("SELECT stop_message FROM fleet")).scalar_one()
    assert "cannot use backend 'sketch': set REPLICATE_API_TOKEN" in message
    assert await attempts(ledger) == 0


def test_the_jobs_in_flight_are_divided() -> None:
    """Sixty-four over three shards at once are twenty-one each, and one at least."""
    settings = Settings(
        default_backend="a",
        backends={
            "a": BackendSettings(type="sketch", concurrency=64),
            "b": BackendSettings(type="sketch", concurrency=2),
        },
    )
    shared = divide_concurrency(settings, 3).backends
    assert (shared["a"].concurrency, shared["b"].concurrency) == (21, 1)
