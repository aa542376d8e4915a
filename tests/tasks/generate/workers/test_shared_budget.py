"""The hard cap over several workers: exact, used in full, and nothing leaks when a worker is killed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import BatchStopped
from tasks.core.records import JobState
from tasks.generate.workers.schema import fleet, reservations
from tasks.generate.workers.shared_budget import SharedBudget
from tasks.generate.workers.start import begin_fleet
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.leases import LeaseTerms, claim, renew
from tests.support.factories import START_US, make_job, plan_jobs
from tests.support.waiting import PATIENCE_S
from tests.tasks.generate.workers.conftest import CAP_MICROS, RUN

JOBS = [make_job(number) for number in range(4)]
FIRST, SECOND = JOBS[0].job_id, JOBS[2].job_id
"""Of the worker that claims first, and of the one that claims after it."""
LEASE_S = 3_600
"""Longer than any test: a lease ends when the test ends it, however slow the machine is."""


async def worker(ledger: AsyncEngine, owner: str, *, jobs_held: int = 2) -> SharedBudget:
    """A worker that holds the leases of the next open jobs."""
    terms = LeaseTerms(owner=owner, lease_s=LEASE_S, send_margin_s=1)
    assert len(await claim(ledger, 0, 100, terms, at_most=jobs_held)) == jobs_held
    return SharedBudget(ledger, owner=owner, cap_micros=CAP_MICROS, sleep=asyncio.sleep)


async def committed(ledger: AsyncEngine) -> int:
    """What the workers count as spent, or as possibly spent."""
    async with ledger.connect() as db:
        return int((await db.execute(select(fleet.c.committed_micros))).scalar_one())


async def kill(ledger: AsyncEngine, owner: str) -> None:
    """What the ledger sees of a worker that is gone: its leases end."""
    async with ledger.begin() as db:
        await db.execute(update(jobs).where(jobs.c.claimed_by == owner).values(lease_until_us=0))


async def intend(ledger: AsyncEngine, job_id: str, micros: int, **values: Any) -> None:
    """An attempt as the journal has it."""
    row = {"state": JobState.SUBMITTING, "backend": "sketch", "started_at_us": START_US, **values}
    async with ledger.begin() as db:
        await db.execute(insert(attempts).values(job_id=job_id, number=1, reserved_micros=micros, **row))


@pytest.fixture(autouse=True)
async def _planned(ledger: AsyncEngine) -> None:
    await plan_jobs(ledger, JOBS)


async def test_workers_together_never_pass_the_cap(ledger: AsyncEngine) -> None:
    """Of twenty that ask at once, exactly as many get the money as it pays for."""
    budgets = [await worker(ledger, name) for name in ("a", "b")]
    mine = (FIRST, SECOND)
    asked = [asyncio.create_task(budgets[n % 2].reserve(3, job_id=mine[n % 2], number=n)) for n in range(20)]
    async with asyncio.timeout(PATIENCE_S):
        while sum(task.done() for task in asked) < 3:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # the others ask again meanwhile
    assert [task.exception() for task in asked if task.done()] == [None] * 3
    assert await committed(ledger) == 9
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_what_an_attempt_did_not_cost_comes_back_to_another_worker(ledger: AsyncEngine) -> None:
    """Near the cap a worker waits for what is in flight elsewhere."""
    a, b = await worker(ledger, "a"), await worker(ledger, "b")
    held = await a.reserve(8, job_id=FIRST, number=1)
    waiting = asyncio.create_task(b.reserve(8, job_id=SECOND, number=1))
    await asyncio.sleep(0.4)
    assert not waiting.done()
    held.settle(2)
    held.settle(0)
    (await asyncio.wait_for(waiting, timeout=PATIENCE_S)).settle(None)
    await b.settled()
    assert await committed(ledger) == 10


async def test_an_end_without_anything_in_flight_is_the_budgets_end(ledger: AsyncEngine) -> None:
    """Money that was spent does not come back, so nobody waits for it."""
    a = await worker(ledger, "a")
    (await a.reserve(8, job_id=FIRST, number=1)).settle(8)
    with pytest.raises(BatchStopped, match="next image may cost") as stopped:
        await a.reserve(3, job_id=FIRST, number=2)
    assert stopped.value.reason == "budget"


async def test_a_kill_before_the_intent_leaks_nothing(ledger: AsyncEngine) -> None:
    """What a worker had set aside and never sent comes back as soon as its leases are over."""
    a, b = await worker(ledger, "a"), await worker(ledger, "b")
    await a.reserve(8, job_id=FIRST, number=1)
    await kill(ledger, "a")
    await asyncio.wait_for(b.reserve(8, job_id=SECOND, number=1), timeout=PATIENCE_S)
    assert await committed(ledger) == 8


async def test_a_kill_after_the_intent_keeps_the_money_aside(ledger: AsyncEngine) -> None:
    """What may have been paid counts as paid, once, also after another worker took the job over."""
    a, b = await worker(ledger, "a"), await worker(ledger, "b")
    await a.reserve(8, job_id=FIRST, number=1)
    await intend(ledger, FIRST, 8)
    await kill(ledger, "a")
    with pytest.raises(BatchStopped):
        await b.reserve(3, job_id=SECOND, number=1)
    assert await committed(ledger) == 8
    b.take_over(8, job_id=FIRST, number=1).settle(5)
    await b.settled()
    assert await committed(ledger) == 5


async def test_what_a_lost_worker_had_set_aside_comes_back_once(ledger: AsyncEngine) -> None:
    """Its attempt ends at another worker for less than its price: the rest is free again, and not twice."""
    a, b = await worker(ledger, "a"), await worker(ledger, "b")
    await a.reserve(8, job_id=FIRST, number=1)
    await intend(ledger, FIRST, 8)
    await kill(ledger, "a")
    b.take_over(8, job_id=FIRST, number=1).settle(5)
    await b.settled()
    async with ledger.begin() as db:
        await db.execute(update(attempts).values(cost_micros=5))
    with pytest.raises(BatchStopped, match="only"):
        await b.reserve(6, job_id=SECOND, number=1)
    assert await committed(ledger) == 5


async def test_an_attempt_that_another_worker_did_not_get_to_send_is_paid_for_once(ledger: AsyncEngine) -> None:
    """Who makes the attempt after a kill takes over what was set aside for it: under the cap there is room for one."""
    a, b = await worker(ledger, "a"), await worker(ledger, "b")
    await a.reserve(8, job_id=FIRST, number=1)
    await kill(ledger, "a")
    held = await asyncio.wait_for(b.reserve(8, job_id=FIRST, number=1), timeout=PATIENCE_S)
    await intend(ledger, FIRST, 8)
    assert await committed(ledger) == 8
    held.settle(3)
    await b.settled()
    assert await committed(ledger) == 3


async def test_a_worker_that_slept_too_long_has_no_money_left(ledger: AsyncEngine) -> None:
    """Its leases ended and another one got what it had set aside: neither a renewal nor a claim lets it send."""
    asleep, other = await worker(ledger, "a"), await worker(ledger, "b")
    await asleep.reserve(CAP_MICROS, job_id=FIRST, number=1)
    await kill(ledger, "a")
    await other.reserve(CAP_MICROS, job_id=SECOND, number=1)
    assert await renew(ledger, LeaseTerms(owner="a"), [FIRST]) == frozenset()
    assert await claim(ledger, 0, 100, LeaseTerms(owner="a")) == []


async def test_a_new_run_counts_from_the_ledger(ledger: AsyncEngine) -> None:
    """Known costs, open attempts, and what living workers of the run before have set aside beyond them."""
    a = await worker(ledger, "a")
    await a.reserve(3, job_id=FIRST, number=2)
    await intend(ledger, FIRST, 4, cost_micros=2)
    async with ledger.begin() as db:
        await db.execute(update(fleet).values(committed_micros=99))
    await begin_fleet(ledger, run=RUN)
    assert await committed(ledger) == 5
    async with ledger.connect() as db:
        assert (await db.execute(select(reservations.c.micros))).scalars().all() == [3]
