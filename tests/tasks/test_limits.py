"""Rate, budget and failure watch, in recorded time."""

from __future__ import annotations

import asyncio

import pytest

from tasks.errors import BatchStopped
from tasks.limits import Budget, FailureWatch, Lane
from tests.making import FakeClock


async def test_creates_are_spaced_evenly() -> None:
    """600 creates a minute leave one every tenth of a second, the first at once."""
    clock = FakeClock()
    lane = Lane(concurrency=4, creates_per_min=600, now=clock.monotonic_s, sleep=clock.sleep)
    for _ in range(4):
        await lane.may_create()
    assert clock.slept_s == pytest.approx([0.1, 0.1, 0.1])


async def test_idle_time_is_not_saved_up() -> None:
    """After a pause the rate holds again at once: no burst."""
    clock = FakeClock()
    lane = Lane(concurrency=1, creates_per_min=60, now=clock.monotonic_s, sleep=clock.sleep)
    await lane.may_create()
    clock.now_s += 100
    await lane.may_create()
    await lane.may_create()
    assert clock.slept_s == pytest.approx([1.0])


async def test_no_more_than_the_cap_is_in_flight() -> None:
    """The number of jobs between submit and end never exceeds the concurrency."""
    lane = Lane(concurrency=3, creates_per_min=None, now=lambda: 0.0, sleep=asyncio.sleep)
    inside, most = 0, 0

    async def job() -> None:
        nonlocal inside, most
        async with lane.in_flight():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(job() for _ in range(20)))
    assert most == 3


def test_the_budget_reserves_before_and_settles_after() -> None:
    """A reservation counts until the true cost is known; the cap is never passed, to the millionth of a dollar."""
    budget = Budget(cap_micros=10, committed_micros=3)
    budget.reserve(7)
    with pytest.raises(BatchStopped, match="used up") as stopped:
        budget.reserve(1)
    assert stopped.value.reason == "budget"
    assert stopped.value.exit_code == 3
    budget.settle(reserved_micros=7, cost_micros=2)
    budget.reserve(5)


def test_an_unknown_cost_keeps_its_reservation() -> None:
    """Money that may be spent is treated as spent."""
    budget = Budget(cap_micros=10, committed_micros=0)
    budget.reserve(6)
    budget.settle(reserved_micros=6, cost_micros=None)
    with pytest.raises(BatchStopped):
        budget.reserve(5)


def test_an_unknown_price_cannot_be_reserved_under_a_cap() -> None:
    """Without a price a hard cap cannot be kept, so nothing is sent."""
    with pytest.raises(BatchStopped, match="price_usd"):
        Budget(cap_micros=10, committed_micros=0).reserve(None)
    Budget(cap_micros=None, committed_micros=0).reserve(None)


def test_an_estimate_over_the_budget_is_refused() -> None:
    """What is left, what is needed and what to do stand in the message."""
    budget = Budget(cap_micros=5_000_000, committed_micros=1_000_000)
    budget.check_estimate(4_000_000)
    with pytest.raises(BatchStopped, match=r"estimate is \$4\.50, but of the budget of \$5\.00 only \$4\.00 is left"):
        budget.check_estimate(4_500_000)


def test_the_watch_stops_at_half_of_the_last_twenty() -> None:
    """The batch stops at the limit, not before the window is full."""
    watch = FailureWatch(rate=0.5, window=4)
    watch.note(failed=True)
    watch.note(failed=True)
    watch.note(failed=False)
    with pytest.raises(BatchStopped, match="2 of the last 4 jobs failed") as stopped:
        watch.note(failed=False)
    assert stopped.value.reason == "error_rate"


def test_the_watch_forgets_what_is_long_ago() -> None:
    """Only the last finished jobs count."""
    watch = FailureWatch(rate=0.5, window=4)
    for failed in (True, False, False, False, False, True, False, False):
        watch.note(failed=failed)
