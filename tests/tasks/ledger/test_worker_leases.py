"""A worker that loses jobs while it generates: nothing is sent for them, and they are nobody's failure."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from tasks.core.clock import Clock, read_boot_clock_s
from tasks.core.errors import BatchLocked, BatchStopped, LeaseLost, Throttled
from tasks.core.last_check import make_last_check
from tasks.core.paths import POINTER_NAME
from tasks.core.records import Job, Prediction
from tasks.generate.budget import Budget
from tasks.generate.jobs import generate_job
from tasks.generate.workers.claims import ClaimRange, Claims
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tasks.ledger.leases import LeaseTerms, claim
from tasks.ledger.worker_leases import WorkerLeases
from tasks.runs.request import RunRequest
from tasks.runs.run import open_run
from tests.support.factories import FakeClock, make_job, plan_jobs, share_batch
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, open_scripted
from tests.tasks.ledger.conftest import on_disk

ANNA, BERT = LeaseTerms(owner="anna"), LeaseTerms(owner="bert")
OWNERS = "SELECT state, claimed_by FROM jobs ORDER BY position"


async def test_a_job_that_another_worker_took_is_not_sent(out: Path) -> None:
    """Its price is free again, it counts as neither done nor failed, and the others go on."""
    lost, mine = make_job(0), make_job(1)
    backend = ScriptedBackend()
    async with (
        open_scripted(out, backend, [lost, mine], clock=Clock(), budget_micros=2 * PRICE_MICROS) as batch,
        share_batch(batch, ANNA) as leases,
    ):
        entries = await leases.claim(*EVERYTHING)
        async with batch.engine.begin() as db:
            await db.execute(update(jobs).where(jobs.c.job_id == lost.job_id).values(lease_until_us=1))
        assert len(await claim(batch.engine, *EVERYTHING, BERT)) == 1
        await asyncio.gather(*(generate_job(batch, entry) for entry in entries))
        assert backend.billed == {mine.job_id: 1}
        assert (batch.tally.succeeded, batch.tally.failed, batch.tally.in_flight) == (1, 0, 0)
        assert isinstance(batch.budget, Budget)
        assert batch.budget._committed_micros == PRICE_MICROS
        assert await on_disk(out, OWNERS) == [("planned", "bert"), ("succeeded", "anna")]


async def test_an_intent_is_not_sent_late(out: Path) -> None:
    """Its turn came when the lease was nearly over: no create leaves, and another worker may look it up at once."""
    backend = ScriptedBackend()
    backend.on_submit["row-0"].append(Throttled("later", retry_after_s=0.01))
    async with open_scripted(out, backend, [make_job()], clock=Clock()) as batch, share_batch(batch, ANNA) as leases:

        def let_the_lease_run_down(job: Job) -> None:
            leases._until_s[job.job_id] -= ANNA.lease_s

        backend.before_submit = let_the_lease_run_down
        [entry] = await leases.claim(*EVERYTHING)
        await generate_job(batch, entry)
        assert (backend.calls["submit"], backend.billed) == (1, {})
        assert await on_disk(out, OWNERS) == [("submitting", None)]


class SlowToAnswer(ScriptedBackend):
    """A service that answers a create when the test says so."""

    def __init__(self, *, keeps_list: bool) -> None:
        """Begin with no create."""
        super().__init__()
        self.keeps_list = keeps_list
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """Wait before the create is made."""
        self.asked.set()
        await self.may_answer.wait()
        return await super().submit(job, attempt=attempt)


@pytest.mark.parametrize("keeps_list", [True, False])
async def test_a_create_that_outlasts_its_lease_is_given_up_where_a_list_decides(
    out: Path, *, keeps_list: bool
) -> None:
    """The next worker reads that list, finds nothing and pays; without one it holds the job, so the answer may still come."""
    backend = SlowToAnswer(keeps_list=keeps_list)
    async with open_scripted(out, backend, [make_job()], clock=Clock()) as batch, share_batch(batch, ANNA) as leases:
        [entry] = await leases.claim(*EVERYTHING)
        running = asyncio.create_task(generate_job(batch, entry))
        await backend.asked.wait()
        # A renewal in time moves the end of the call with the lease.
        await leases.renew()
        assert (await on_disk(out, OWNERS), running.done()) == ([("submitting", "anna")], False)
        async with batch.engine.begin() as db:
            await db.execute(update(jobs).values(lease_until_us=1))
        assert len(await claim(batch.engine, *EVERYTHING, BERT)) == 1
        await leases.renew()
        if not keeps_list:
            backend.may_answer.set()
        await running
        assert (backend.calls["submit"], len(backend.billed)) == ((0, 0) if keeps_list else (1, 1))
        assert await on_disk(out, OWNERS) == [("submitting", "bert")]


async def test_a_call_does_not_leave_after_its_machine_slept(out: Path) -> None:
    """The lease ended while the connection was opened; the event loop's own clock stood still meanwhile."""
    slept_s: list[float] = [0.0]
    clock = replace(Clock(), since_boot_s=lambda: read_boot_clock_s() + sum(slept_s))
    async with open_scripted(out, ScriptedBackend(), [make_job()], clock=clock) as batch:
        leases = WorkerLeases(batch.engine, ANNA, clock)
        [entry] = await leases.claim(*EVERYTHING)

        async def send_after_a_sleep() -> None:
            async with leases.sending(entry.job, is_listed=True):
                make_last_check()
                slept_s.append(ANNA.lease_s)
                make_last_check()

        with pytest.raises(LeaseLost):
            await send_after_a_sleep()
        make_last_check()  # of calls that nobody answers for


async def test_the_next_worker_looks_again_before_it_pays(out: Path) -> None:
    """A create that left in the last instant of a lease may arrive later than the first reading of the list."""
    bert = replace(BERT, send_margin_s=0.01)
    late = deque([None, Prediction(prediction_id="late")])
    backend = SlowToAnswer(keeps_list=True)
    backend.may_answer.set()
    backend.on_submit["row-0"].append(Throttled("later", retry_after_s=0.01))
    async with open_scripted(out, backend, [make_job()], clock=Clock()) as batch:
        async with share_batch(batch, ANNA) as leases:
            backend.before_submit = lambda job: leases._until_s.update({job.job_id: 0.0})
            [entry] = await leases.claim(*EVERYTHING)
            await generate_job(batch, entry)
        assert await on_disk(out, OWNERS) == [("submitting", None)]
        backend.on_find = lambda _: late.popleft()
        async with share_batch(batch, bert) as leases:
            [entry] = await leases.claim(*EVERYTHING)
            await generate_job(batch, entry)
        assert (backend.calls["find"], backend.calls["submit"], backend.billed) == (2, 1, {})
        assert await on_disk(out, OWNERS) == [("succeeded", "bert")]


async def test_a_job_that_cannot_be_given_back_stops_the_batch(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger went away just then: what the others have in flight lands, and none of them is cancelled."""
    async with (
        open_scripted(out, ScriptedBackend(), [make_job(0), make_job(1)], clock=Clock()) as batch,
        share_batch(batch, ANNA) as leases,
    ):
        lost, mine = await leases.claim(*EVERYTHING)
        await leases.release([lost.job])

        async def away(_: object) -> None:
            raise BatchStopped("ledger", "the ledger is away")

        monkeypatch.setattr(leases, "release", away)
        await asyncio.gather(generate_job(batch, mine), generate_job(batch, lost))
        assert str(batch.stop.cause) == "the ledger is away"
        assert await on_disk(out, OWNERS) == [("planned", None), ("succeeded", "anna")]


async def test_a_worker_that_stops_gives_back_what_it_leaves_open(out: Path) -> None:
    """Nobody waits for the leases of a worker that drained."""
    backend = ScriptedBackend()
    async with (
        open_scripted(out, backend, [make_job(0), make_job(1)], clock=Clock(), concurrency=1) as batch,
        share_batch(batch, ANNA) as leases,
    ):
        backend.before_submit = lambda _: batch.stop.drain()
        await Claims(batch, leases).work(ClaimRange(first=0, last=EVERYTHING[1]))
        assert await on_disk(out, OWNERS) == [("succeeded", "anna"), ("planned", None)]


async def test_leases_are_renewed_while_the_worker_lives(out: Path) -> None:
    """An image may take longer than a lease: the worker's lease moves on in the background, here and in the ledger."""
    clock = FakeClock()  # whose time passes only while the renewals wait
    until = "SELECT lease_until_us FROM jobs"
    async with (
        open_scripted(out, ScriptedBackend(), [make_job()], clock=clock.clock) as batch,
        share_batch(batch, ANNA) as leases,
    ):
        [entry] = await leases.claim(*EVERYTHING)
        [(first_us,)] = await on_disk(out, until)
        ends_s = clock.now_s + 2 * ANNA.lease_s
        while clock.now_s < ends_s:
            await asyncio.sleep(0)
        assert leases.holds(entry.job)
        [(last_us,)] = await on_disk(out, until)
        assert last_us > first_us


async def test_a_run_alone_waits_for_the_workers_of_a_killed_one(out: Path) -> None:
    """It is refused with their names, and nothing is recorded; one that sends workers itself may begin."""
    request = RunRequest(out=str(out))
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job()])
        await claim(engine, *EVERYTHING, ANNA)
    with pytest.raises(BatchLocked, match=r"workers still hold 1 of its jobs \(anna\)"):
        async with open_run(request):
            pass
    assert await on_disk(out, "SELECT count(*) FROM runs") == [(0,)]
    if (out / POINTER_NAME).exists():
        async with open_run(request.model_copy(update={"runner": "dask"})) as run:
            assert run.number == 1
