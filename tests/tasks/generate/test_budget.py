"""The hard cap: exact to the millionth of a dollar, over resumes, with many jobs in flight, and used in full."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import BatchStopped, JobError, Transient
from tasks.generate.budget import Budget
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.factories import make_job
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, ledger, open_scripted, run
from tests.support.waiting import PATIENCE_S

ATTEMPT: Any = {"job_id": "a", "number": 1}


async def test_a_price_is_set_aside_until_the_cost_is_known() -> None:
    """The cap is never passed; what an attempt did not cost can be spent on another."""
    budget = Budget(cap_micros=10, committed_micros=3)
    first = await budget.reserve(7, **ATTEMPT)
    first.settle(2)
    second = await budget.reserve(5, **ATTEMPT)
    second.settle(5)
    with pytest.raises(BatchStopped, match="next image may cost") as stopped:
        await budget.reserve(1, **ATTEMPT)
    assert (stopped.value.reason, stopped.value.exit_code) == ("budget", 3)


async def test_near_the_cap_a_job_waits_for_those_in_flight() -> None:
    """One that fails for nothing gives its money back, and the batch is not stopped for want of it."""
    budget = Budget(cap_micros=10, committed_micros=0)
    first = await budget.reserve(7, **ATTEMPT)
    waiting = asyncio.create_task(budget.reserve(7, **ATTEMPT))
    await asyncio.sleep(0)
    assert not waiting.done()
    first.settle(0)
    (await waiting).settle(7)


async def test_an_unknown_cost_keeps_its_reservation() -> None:
    """Money that may be spent is treated as spent; nobody waits for it, and it is counted once."""
    budget = Budget(cap_micros=10, committed_micros=0)
    first = await budget.reserve(6, **ATTEMPT)
    first.settle(None)
    first.settle(0)
    with pytest.raises(BatchStopped):
        await budget.reserve(5, **ATTEMPT)


async def test_what_costs_nothing_passes_a_cap_that_is_full() -> None:
    """A cap may be lowered below what is spent; a batch that is complete, or free, ends all the same."""
    budget = Budget(cap_micros=10, committed_micros=12)
    budget.check_estimate(0)
    (await budget.reserve(0, **ATTEMPT)).settle(0)
    with pytest.raises(BatchStopped):
        await budget.reserve(1, **ATTEMPT)


async def test_an_unknown_price_cannot_be_reserved_under_a_cap() -> None:
    """Without a price a hard cap cannot be kept, so nothing is sent."""
    with pytest.raises(BatchStopped, match="price_usd"):
        await Budget(cap_micros=10, committed_micros=0).reserve(None, **ATTEMPT)
    await Budget(cap_micros=None, committed_micros=0).reserve(None, **ATTEMPT)


def test_an_estimate_over_the_budget_is_refused() -> None:
    """What is left, what is needed and what to do stand in the message."""
    budget = Budget(cap_micros=5_000_000, committed_micros=1_000_000)
    budget.check_estimate(4_000_000)
    with pytest.raises(BatchStopped, match=r"estimate is \$4\.50, but of the budget of \$5\.00 only \$4\.00 is left"):
        budget.check_estimate(4_500_000)


@pytest.mark.parametrize("concurrency", [1, 64])
async def test_the_budget_is_kept_to_the_cent_and_used_in_full(out: Path, concurrency: int) -> None:
    """Jobs fail for nothing, are tried again, and cost less than set aside: as many pictures as the cap pays for."""
    jobs = [make_job(number) for number in range(150)]
    backend = ScriptedBackend(latency_s=0.002, most_micros=2 * PRICE_MICROS)
    for number in range(0, 150, 3):
        backend.on_wait[f"row-{number}"] = deque([Transient("interrupted")])
    for number in range(1, 150, 10):
        backend.on_wait[f"row-{number}"] = deque([JobError("no")])
    # The last picture leaves one price: less than the most that the next may cost.
    cap_micros = 80 * PRICE_MICROS
    async with open_scripted(out, backend, jobs, concurrency=concurrency, budget_micros=cap_micros) as batch:
        await generate_range(batch, *EVERYTHING)
        counts = await count_jobs(batch.engine)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "budget"
    assert counts.succeeded == 79
    assert counts.cost_micros == 79 * PRICE_MICROS
    assert ledger(out, "SELECT count(*) FROM attempts WHERE state IN ('submitting', 'submitted')") == [(0,)]


async def test_the_cap_holds_over_resumes(out: Path) -> None:
    """What earlier runs have spent counts; a higher cap pays for the difference only."""
    jobs = [make_job(number) for number in range(40)]
    backend = ScriptedBackend(latency_s=0.01)
    first = await run(out, backend, jobs, concurrency=64, budget_micros=10 * PRICE_MICROS)
    assert (first.succeeded, first.cost_micros, first.failed) == (10, 10 * PRICE_MICROS, 0)
    again = await run(out, backend, jobs, budget_micros=10 * PRICE_MICROS)
    assert again.succeeded == 10
    higher = await run(out, backend, jobs, budget_micros=12 * PRICE_MICROS)
    assert (higher.succeeded, higher.cost_micros) == (12, 12 * PRICE_MICROS)


async def test_a_job_that_a_stop_leaves_in_flight_keeps_nobody_waiting(out: Path) -> None:
    """The token is refused while one job waits for another's money: both end, and nothing hangs."""
    backend = ScriptedBackend(latency_s=0.01)
    backend.on_fetch["row-0"] = deque([BatchStopped("token", "refused")])
    jobs = [make_job(0), make_job(1)]
    async with open_scripted(out, backend, jobs, concurrency=2, budget_micros=PRICE_MICROS) as batch:
        await asyncio.wait_for(generate_range(batch, *EVERYTHING), timeout=PATIENCE_S)
    assert backend.calls["submit"] == 1
