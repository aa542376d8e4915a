"""Rate, budget and failure watch, in recorded time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate_simulator.rates import Bucket
from tasks.core.errors import BatchStopped
from tasks.generate.limits import LOOKED_FOR_EACH_SLOT, BackendLimits, FailureWatch
from tests.support.factories import FakeClock
from tests.support.virtual_time import make_loop_clock, run_in_virtual_time


def build_limiter(per_min: float | None, clock: FakeClock) -> RateLimiter:
    """A rate limiter in recorded time."""
    return RateLimiter(per_min, now=clock.monotonic_s, sleep=clock.sleep)


async def test_creates_are_spaced_evenly() -> None:
    """600 creates a minute leave one every tenth of a second; what the loop may be late is let through at once."""
    clock = FakeClock()
    limited = build_limiter(600, clock)
    for _ in range(8):
        await limited.acquire()
    assert clock.slept_s == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.1])


@pytest.mark.parametrize("late_s", [0.0, 0.2])
async def test_the_allowed_rate_is_used_in_full(late_s: float) -> None:
    """Over two minutes at 600 a minute, 97 % leaves though the loop wakes late each time, and the account refuses nothing."""
    clock = FakeClock()
    account = Bucket(600, 10, clock.monotonic_s)

    async def sleep_late(seconds: float) -> None:
        await clock.sleep(seconds + late_s)

    limiter = RateLimiter(600, now=clock.monotonic_s, sleep=sleep_late)
    refused = 0
    for _ in range(1_200):
        await limiter.acquire()
        refused += account.take() is not None
    assert refused == 0
    assert 1_200 / (clock.now_s / 60) >= 0.97 * 600


async def test_a_low_stated_rate_costs_few_refused_calls() -> None:
    """An account of 6 creates a minute without a burst: at most one call in ten is sent in vain."""
    clock = FakeClock()
    account, limiter = Bucket(6, 1, clock.monotonic_s), build_limiter(600, clock)
    created = refused = 0
    while created < 40:
        sent_at_s = await limiter.acquire()
        if (wait_s := account.take()) is None:
            limiter.record_success()
            created += 1
        else:
            limiter.record_throttle(sent_at_s, retry_after_s=wait_s, per_min=6)
            refused += 1
    assert refused <= 4


async def test_idle_time_is_not_saved_up() -> None:
    """After a pause the rate holds again at once: no burst beyond the catching up."""
    clock = FakeClock()
    limited = build_limiter(60, clock)
    await limited.acquire()
    clock.now_s += 100
    await limited.acquire()
    await limited.acquire()
    assert clock.slept_s == pytest.approx([0.75])


async def test_no_limit_never_waits() -> None:
    """An unlimited backend is not slowed down."""
    clock = FakeClock()
    unlimited = build_limiter(None, clock)
    for _ in range(1_000):
        await unlimited.acquire()
    assert clock.slept_s == []


async def test_nothing_leaves_before_the_providers_time() -> None:
    """After a 429 the next call waits as long as it was told, also one that was waiting already."""
    clock = FakeClock()
    limited = build_limiter(600, clock)
    limited.record_throttle(await limited.acquire(), retry_after_s=7, per_min=None)
    assert await limited.acquire() == pytest.approx(7.0)


async def test_a_stated_rate_is_kept_and_probed_seldom() -> None:
    """Low credit, "6 requests per minute": that rate is kept, and only after 25 calls a little more is tried."""
    clock = FakeClock()
    limited = build_limiter(600, clock)
    limited.record_throttle(await limited.acquire(), retry_after_s=7, per_min=6)
    left = []
    for _ in range(26):
        left.append(await limited.acquire())
        limited.record_success()
    assert [later - earlier for earlier, later in pairwise(left)][:24] == pytest.approx([10.0 / 0.97] * 24)
    assert limited.per_min == pytest.approx(6 * 0.97 * 1.1)


async def test_a_stated_rate_never_goes_beyond_the_configured_one() -> None:
    """The provider's limit of another kind (all requests, not pictures) does not lift the user's own."""
    clock = FakeClock()
    limited = build_limiter(5, clock)
    limited.record_throttle(await limited.acquire(), retry_after_s=7, per_min=500)
    assert limited.per_min == 5


async def test_a_burst_of_429_cuts_once() -> None:
    """Calls that left before the cut say nothing new; the next one that is refused does."""
    clock = FakeClock()
    limited = build_limiter(600, clock)
    sent = [await limited.acquire() for _ in range(3)]
    clock.now_s += 0.1
    for at_s in sent:
        limited.record_throttle(at_s, retry_after_s=1, per_min=None)
        clock.now_s += 0.01
    assert limited.per_min == pytest.approx(450)
    limited.record_throttle(await limited.acquire(), retry_after_s=1, per_min=None)
    assert limited.per_min == pytest.approx(337.5)


async def test_the_rate_climbs_back_to_the_configured_one() -> None:
    """Steps of a tenth, and never beyond."""
    clock = FakeClock()
    limited = build_limiter(600, clock)
    limited.record_throttle(await limited.acquire(), retry_after_s=0, per_min=None)
    for _ in range(200):
        limited.record_success()
    assert limited.per_min == 600


def build_limits(places: int) -> BackendLimits:
    """Limits of a backend whose jobs are in flight by virtual time."""
    clock = make_loop_clock()
    creates = RateLimiter(None, now=clock.monotonic_s, sleep=clock.sleep)
    return BackendLimits(concurrency=places, creates=creates, now=clock.monotonic_s)


@pytest.mark.parametrize("seen_s", [None, 2.0, 30.0])
def test_a_lost_create_keeps_its_slot_as_long_as_a_prediction_runs(seen_s: float | None) -> None:
    """By the times of this run, else by the estimate; from then on another job has the slot."""

    async def look() -> None:
        limits = build_limits(1)
        if seen_s is not None:
            limits.learn_time(seen_s)
        runs_s = 10.0 if seen_s is None else seen_s
        lost, other = limits.make_slot(), limits.make_slot()
        await lost.acquire()
        async with limits.lend_slot(lost, estimate_s=10.0, sleep=asyncio.sleep):
            await asyncio.sleep(runs_s - 1)
            assert (limits.taken, limits.lent) == (1, 0)
            await other.acquire()
            assert asyncio.get_running_loop().time() == pytest.approx(runs_s)
            assert (limits.taken, limits.lent) == (1, 1)
        await asyncio.sleep(1)
        assert limits.lent == 0

    run_in_virtual_time(look())


def test_a_service_that_loses_every_create_is_sent_no_end_of_them() -> None:
    """While all are looked for, as many slots are lent as the bound says, and the others wait."""
    sent = 0

    async def lose(limits: BackendLimits) -> None:
        nonlocal sent
        slot = limits.make_slot()
        await slot.acquire()
        sent += 1
        async with limits.lend_slot(slot, estimate_s=1.0, sleep=asyncio.sleep):
            await asyncio.sleep(3_600)

    async def lose_all() -> None:
        limits = build_limits(3)
        losing = [asyncio.create_task(lose(limits)) for _ in range(100)]
        await asyncio.sleep(600)
        assert (limits.lent, sent) == (3 * LOOKED_FOR_EACH_SLOT, 3 + 3 * LOOKED_FOR_EACH_SLOT)
        for task in losing:
            task.cancel()
        await asyncio.gather(*losing, return_exceptions=True)

    run_in_virtual_time(lose_all())


async def test_no_more_than_the_cap_is_in_flight() -> None:
    """The number of jobs between submit and end never exceeds the concurrency; a place is taken and left once."""
    lane = BackendLimits(
        concurrency=3, creates=RateLimiter(None, now=lambda: 0.0, sleep=asyncio.sleep), now=lambda: 0.0
    )
    inside, most = 0, 0

    async def job() -> None:
        nonlocal inside, most
        place = lane.make_slot()
        await place.acquire()
        await place.acquire()
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        place.release()
        place.release()

    await asyncio.gather(*(job() for _ in range(20)))
    assert most == 3


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


async def test_a_pace_tells_that_the_provider_slows_it() -> None:
    """While the rate is cut, and for how long a pause is asked for; with the full rate again, no more."""
    clock = FakeClock()
    limited = build_limiter(600, clock)
    assert (limited.is_slowed, limited.pause_s) == (False, 0.0)
    limited.record_throttle(await limited.acquire(), retry_after_s=7, per_min=None)
    assert (limited.is_slowed, limited.pause_s, limited.per_min) == (True, 7.0, 450)
    await clock.sleep(7)
    assert limited.pause_s == 0.0
    for _ in range(100):
        limited.record_success()
    assert not limited.is_slowed
