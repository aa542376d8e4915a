"""Several workers on one batch: each job is one worker's at a time, and no lost lease costs money."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import true, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.errors import BatchLocked, JobError, LeaseLost
from tasks.core.records import EndedFilter, Job, JobState, Prediction, StoredImage
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tasks.ledger.jobs import reopen
from tasks.ledger.journal import Journal
from tasks.ledger.leases import LeaseTerms, SilentJobs, claim, find_silent_jobs, list_living_leases, release, renew
from tasks.ledger.lock import require_no_workers
from tasks.ledger.worker_leases import WorkerLeases
from tests.support.factories import START_US, FakeClock, make_job, plan_jobs
from tests.support.forked_process import start_python
from tests.support.waiting import PATIENCE_S
from tests.tasks.ledger.conftest import on_disk
from tests.tasks.ledger.worker import WORKER

ROOT = Path(__file__).parents[3]
ANNA, BERT = LeaseTerms(owner="anna"), LeaseTerms(owner="bert")
PREDICTION = Prediction(prediction_id="p1", cost_micros=3_000)
IMAGE = StoredImage(file_name="images/aa/x.png", width=32, height=32, format="png", bytes=10, sha256="0" * 64)
LIFE = "SELECT state, attempts, claimed_by FROM jobs ORDER BY position"


@asynccontextmanager
async def planned(out: Path, count: int) -> AsyncIterator[AsyncEngine]:
    """A ledger of so many open jobs."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(number) for number in range(count)])
        yield engine


async def let_leases_end(engine: AsyncEngine, *some: Job) -> None:
    """Let the lease time of every worker be over, or that of some jobs."""
    which = jobs.c.job_id.in_([job.job_id for job in some]) if some else true()
    async with engine.begin() as db:
        await db.execute(update(jobs).where(which).values(lease_until_us=1))


async def names(engine: AsyncEngine, terms: LeaseTerms, first: int = 0, last: int = 99) -> list[str | None]:
    """The row ids that a claim gives."""
    return [entry.job.id for entry in await claim(engine, first, last, terms)]


async def test_a_job_is_claimed_once(out: Path) -> None:
    """Nobody gets what another one holds, not even its holder again; the rest of a range is free."""
    async with planned(out, 4) as engine:
        assert await names(engine, ANNA, 0, 1) == ["row-0", "row-1"]
        assert await names(engine, BERT) == ["row-2", "row-3"]
        assert await names(engine, ANNA) == []


async def test_a_portion_is_the_first_of_the_range(out: Path) -> None:
    """`at_most` takes jobs in manifest order and leaves the others free."""
    async with planned(out, 4) as engine:
        portion = [entry.job.id for entry in await claim(engine, 0, 99, ANNA, at_most=3)]
        assert (portion, await names(engine, BERT)) == (["row-0", "row-1", "row-2"], ["row-3"])


def test_processes_at_once_get_each_job_exactly_once(out: Path) -> None:
    """Three processes claim the same range in portions at the same time: nothing twice, nothing left."""

    async def plan() -> set[str]:
        async with planned(out, 300):
            return {make_job(number).job_id for number in range(300)}

    wanted = asyncio.run(plan())
    pipe = subprocess.PIPE
    workers = [start_python(WORKER, "claim", out, "60", "0", stdin=pipe, stdout=pipe) for _ in range(3)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
        worker.stdin = None
    shares = [worker.communicate(timeout=PATIENCE_S)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    claimed = [job_id for share in shares for job_id in share]
    assert len(claimed) == len(wanted)
    assert set(claimed) == wanted


async def test_a_lease_that_ended_is_taken_over_from_where_the_job_is(out: Path) -> None:
    """`submitted` comes with its prediction, `submitting` without one; a renewed lease is nobody else's."""
    sent, lost, kept = make_job(0), make_job(1), make_job(2)
    async with planned(out, 3) as engine:
        await claim(engine, 0, 99, ANNA)
        journal = Journal(engine, ANNA)
        for job in (sent, lost):
            await journal.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
        journal.record_submitted(sent, number=1, prediction=PREDICTION, retries=0, now_us=START_US)
        await journal.close()
        await let_leases_end(engine, sent, lost)
        assert await renew(engine, ANNA, [kept.job_id]) == {kept.job_id}
        entries = {entry.job.id: entry for entry in await claim(engine, 0, 99, BERT)}
        assert {name: entry.state for name, entry in entries.items()} == {
            "row-0": JobState.SUBMITTED,
            "row-1": JobState.SUBMITTING,
        }
        first = entries["row-0"].prediction
        assert first is not None
        assert (first.prediction_id, entries["row-1"].prediction) == ("p1", None)
        assert await renew(engine, ANNA, [sent.job_id, kept.job_id]) == {kept.job_id}


async def test_a_worker_that_slept_gets_its_own_job_again_only_when_it_let_go(out: Path) -> None:
    """Its lease ended while the job was in hand: no renewal brings it back, and no claim begins the job a second time."""
    async with planned(out, 1) as engine:
        holding = WorkerLeases(engine, ANNA, FakeClock().clock)
        [job] = [entry.job for entry in await holding.claim(0, 99)]
        await let_leases_end(engine)
        assert await holding.claim(0, 99) == []
        await holding.renew()
        with pytest.raises(LeaseLost):
            holding.check(job)
        assert await holding.claim(0, 99) == []
        await holding.release([job])
        assert [entry.job for entry in await holding.claim(0, 99)] == [job]


async def test_what_is_given_back_is_free_at_once(out: Path) -> None:
    """A worker that stops lets nobody wait for its leases; what is another one's it cannot give away."""
    async with planned(out, 2) as engine:
        await claim(engine, 0, 0, ANNA)
        await claim(engine, 1, 1, BERT)
        await release(engine, ANNA.owner, [make_job(0).job_id, make_job(1).job_id])
        assert await names(engine, ANNA) == ["row-0"]


async def test_a_worker_whose_lease_is_gone_writes_nothing(out: Path) -> None:
    """Neither an intent nor an end: what the new owner wrote stands, and the old one learns that the job is not its own."""
    job = make_job()
    async with planned(out, 1) as engine:
        await claim(engine, 0, 99, ANNA)
        old, new = Journal(engine, ANNA), Journal(engine, BERT)
        await old.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
        await let_leases_end(engine)
        await claim(engine, 0, 99, BERT)
        await new.record_failed_attempt(job, number=1, error=JobError("no"), latency_ms=5, now_us=START_US)
        before = await on_disk(out, LIFE), await on_disk(out, "SELECT * FROM attempts")
        assert before[0] == [("planned", 1, "bert")]
        old.record_submitted(job, number=1, prediction=PREDICTION, retries=0, now_us=START_US)
        with pytest.raises(LeaseLost):
            await old.record_intent(job, number=2, reserved_micros=3_000, now_us=START_US)
        with pytest.raises(LeaseLost):
            await old.record_success(job, number=1, prediction=PREDICTION, image=IMAGE, latency_ms=5, now_us=START_US)
        with pytest.raises(LeaseLost):
            await old.record_end_without_image(
                job, number=1, state=JobState.FAILED, error=JobError("no"), latency_ms=5, now_us=START_US
            )
        assert (await on_disk(out, LIFE), await on_disk(out, "SELECT * FROM attempts")) == before
        await new.record_intent(job, number=2, reserved_micros=3_000, now_us=START_US)
        assert await on_disk(out, LIFE) == [("submitting", 2, "bert")]


async def test_one_lost_job_does_not_hold_up_the_others_of_its_commit(out: Path) -> None:
    """Intents that share a transaction are told apart."""
    mine, lost = make_job(0), make_job(1)
    async with planned(out, 2) as engine:
        await claim(engine, 0, 0, ANNA)
        journal = Journal(engine, ANNA)

        async def intend(job: Job) -> None:
            await journal.record_intent(job, number=1, reserved_micros=None, now_us=START_US)

        ends = await asyncio.gather(intend(mine), intend(lost), return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), LeaseLost]
        assert await on_disk(out, LIFE) == [("submitting", 1, "anna"), ("planned", 0, None)]


async def test_no_intent_with_too_little_of_the_lease_left(out: Path) -> None:
    """A create that would outlive its lease is not sent; an end that comes late but before a takeover is kept."""
    job = make_job()
    short = LeaseTerms(owner="anna", lease_s=30.0, send_margin_s=31.0)
    async with planned(out, 1) as engine:
        await claim(engine, 0, 99, short)
        journal = Journal(engine, short)
        with pytest.raises(LeaseLost):
            await journal.record_intent(job, number=1, reserved_micros=None, now_us=START_US)
        assert await on_disk(out, "SELECT count(*) FROM attempts") == [(0,)]
        await renew(engine, ANNA, [job.job_id])
        await Journal(engine, ANNA).record_intent(job, number=1, reserved_micros=None, now_us=START_US)
        await let_leases_end(engine)
        await journal.record_success(job, number=1, prediction=PREDICTION, image=IMAGE, latency_ms=5, now_us=START_US)
        assert await on_disk(out, "SELECT state, cost_micros FROM jobs") == [("succeeded", 3_000)]


async def test_a_worker_knows_by_its_own_clock_when_it_may_not_send(out: Path) -> None:
    """Stopped for longer than its lease, it sends nothing before a renewal has told that the job is still its own."""
    clock = FakeClock()
    terms = LeaseTerms(owner="anna", lease_s=100.0, send_margin_s=40.0)
    async with planned(out, 2) as engine:
        holding = WorkerLeases(engine, terms, clock.clock)
        mine, lost = [entry.job for entry in await holding.claim(0, 99)]
        clock.now_s = 59.0
        holding.check(mine)
        clock.now_s = 61.0
        with pytest.raises(LeaseLost, match="row-0"):
            holding.check(mine)
        await release(engine, "anna", [lost.job_id])
        await claim(engine, 0, 99, BERT)
        await holding.renew()
        holding.check(mine)
        with pytest.raises(LeaseLost, match="row-1"):
            holding.check(lost)
        assert (holding.holds(mine), holding.holds(lost)) == (True, False)


async def test_a_worker_whose_machine_slept_sends_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock stands still in a sleep, and the leases end all the same."""
    slept_s, read = 0.0, time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda which: read(which) + slept_s)
    async with planned(out, 1) as engine:
        holding = WorkerLeases(engine, ANNA, Clock())
        [job] = [entry.job for entry in await holding.claim(0, 99)]
        holding.check(job)
        slept_s = ANNA.lease_s
        with pytest.raises(LeaseLost):
            holding.check(job)


async def test_only_living_leases_of_open_jobs_are_told(out: Path) -> None:
    """A run alone is refused beside workers, with their names, and let in when their leases have ended."""
    async with planned(out, 3) as engine:
        await claim(engine, 0, 1, ANNA)
        await Journal(engine, ANNA).record_end_without_image(
            make_job(0), number=None, state=JobState.FAILED, error=JobError("no"), latency_ms=0, now_us=START_US
        )
        [lease] = await list_living_leases(engine)
        assert (lease.owner, lease.jobs) == ("anna", 1)
        assert 0 < lease.left_s <= ANNA.lease_s
        with pytest.raises(BatchLocked, match="anna"):
            require_no_workers(str(out), [lease])
        await let_leases_end(engine)
        require_no_workers(str(out), await list_living_leases(engine))


async def test_a_job_opened_again_is_free(out: Path) -> None:
    """What the user wants tried again does not wait for the lease of the worker that failed it."""
    async with planned(out, 1) as engine:
        await claim(engine, 0, 99, ANNA)
        await Journal(engine, ANNA).record_end_without_image(
            make_job(0), number=None, state=JobState.FAILED, error=JobError("no"), latency_ms=0, now_us=START_US
        )
        await reopen(engine, EndedFilter(frozenset({JobState.FAILED})))
        assert await names(engine, BERT) == ["row-0"]


async def test_jobs_of_a_silent_worker_are_told_with_their_wait(out: Path) -> None:
    """A worker renews long before half of its lease is over; one that has not holds up its jobs for the rest of it."""
    async with planned(out, 3) as engine:
        await claim(engine, 0, 1, LeaseTerms(owner="dead", lease_s=600))
        await claim(engine, 2, 2, LeaseTerms(owner="living", lease_s=10_000))
        found = await find_silent_jobs(engine, 10_000)
        assert (found.jobs, 0 < found.left_s <= 600) == (2, True)
        await let_leases_end(engine)
        assert await find_silent_jobs(engine, 10_000) == SilentJobs()
