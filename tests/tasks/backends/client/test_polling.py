"""Waiting by polls: soon enough, and few of them, whatever the configuration took for usual."""

from __future__ import annotations

import httpx
import pytest

from tasks.backends.client.polling import Polling
from tasks.backends.client.rate_limiter import RateLimiter
from tests.support.factories import FakeClock


def polling(clock: FakeClock, usual_s: float) -> Polling:
    """Polls in time that only passes when somebody sleeps."""
    limiter = RateLimiter(None, now=clock.monotonic_s, sleep=clock.sleep)
    return Polling(limiter=limiter, clock=clock.clock, usual_s=usual_s)


async def wait_for(waiter: Polling, clock: FakeClock, takes_s: float) -> tuple[int, float]:
    """How many looks one prediction takes, and how long after its end it is seen."""
    begun_s, looks = clock.now_s, 0

    async def look() -> str | None:
        nonlocal looks
        looks += 1
        return "ended" if clock.now_s - begun_s >= takes_s else None

    assert await waiter.until(look, timeout_s=10_000, is_fresh=True) == "ended"
    return looks, clock.now_s - begun_s - takes_s


@pytest.mark.parametrize("takes_s", [0.2, 5.0, 60.0])
@pytest.mark.parametrize("usual_s", [0.5, 10.0, 300.0])
async def test_it_learns_how_long_predictions_take(usual_s: float, takes_s: float) -> None:
    """After some of them: less than two looks each, and an end is seen within the half of what one takes."""
    clock = FakeClock()
    waiter = polling(clock, usual_s)
    for _ in range(100):
        await wait_for(waiter, clock, takes_s)
    seen = [await wait_for(waiter, clock, takes_s) for _ in range(100)]
    assert sum(looks for looks, _ in seen) <= 200
    assert sum(late_s for _, late_s in seen) / 100 <= max(0.5 * takes_s, 0.1)


async def test_trouble_with_a_look_is_no_end() -> None:
    """It is looked at again: soon after the first one that fails, ever later after the next, and as late as the service asks."""
    clock = FakeClock()
    errors: list[Exception] = [
        *[httpx.ConnectError("away")] * 7,
        httpx.HTTPStatusError(
            "slowly",
            request=httpx.Request("GET", "http://a"),
            response=httpx.Response(429, headers={"retry-after": "9"}),
        ),
    ]

    async def look() -> str:
        if errors:
            raise errors.pop()
        return "ended"

    assert await polling(clock, 1.0).until(look, timeout_s=100, is_fresh=False) == "ended"
    assert clock.slept_s == pytest.approx([0.0, 9.0, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])


async def test_it_gives_up_in_time() -> None:
    """After the time-out and not much later."""
    clock = FakeClock()

    async def look() -> None:
        return None

    with pytest.raises(TimeoutError):
        await polling(clock, 1.0).until(look, timeout_s=30, is_fresh=True)
    assert clock.now_s == pytest.approx(30)


async def test_what_may_have_ended_long_ago_is_looked_at_at_once() -> None:
    """As after a restart."""
    clock = FakeClock()

    async def look() -> str:
        return "ended"

    await polling(clock, 60.0).until(look, timeout_s=300, is_fresh=False)
    assert clock.now_s == 0
