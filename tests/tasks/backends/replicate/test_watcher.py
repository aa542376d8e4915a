"""Waiting for many at little cost: what the list shows, and what it does not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate.api import ReplicateApi
from tasks.backends.replicate.prediction_times import QUICK_SHARE, PredictionTimes
from tasks.backends.replicate.watcher import LIST_PAUSE_S, LISTS_LAG_S, Watcher
from tests.support.factories import FakeClock

CREATED_AT = datetime(2026, 11, 24, 10, tzinfo=UTC)


@dataclass
class Provider:
    """Predictions that end at a given instant; counts what it is asked. The clock stands in for the network's time."""

    clock: FakeClock
    ends_s: dict[str, float]
    hidden: set[str] = field(default_factory=set)
    """Not in the list."""
    newer: int = 0
    """Predictions of others that stand before ours in the list."""
    trouble: list[Exception] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    listed_at_s: list[float] = field(default_factory=list)

    async def get(self, prediction_id: str) -> dict[str, Any]:
        self.asked["get"] += 1
        return self._answer(prediction_id)

    async def list_created(self, since: datetime, *, before: datetime) -> AsyncIterator[list[dict[str, Any]]]:
        assert since == CREATED_AT < before
        ours = [self._answer(name) for name in self.ends_s if name not in self.hidden]
        everything = [{"id": f"other-{number}", "status": "succeeded"} for number in range(self.newer)] + ours
        for start in range(0, len(everything), 100):
            self.asked["list"] += 1
            self.listed_at_s.append(self.clock.now_s)
            if self.trouble:
                raise self.trouble.pop()
            yield everything[start : start + 100]

    def _answer(self, prediction_id: str) -> dict[str, Any]:
        ended = self.clock.now_s >= self.ends_s[prediction_id]
        return {"id": prediction_id, "status": "succeeded" if ended else "processing"}


async def watch(provider: Provider, *, usual_s: float = 1.0) -> list[str]:
    """Wait for all of them; their ids in the order given."""
    limiter = RateLimiter(None, now=provider.clock.monotonic_s, sleep=provider.clock.sleep)
    api: ReplicateApi = provider  # type: ignore[assignment]  # the two calls that a watcher makes
    watcher = Watcher(api=api, limiter=limiter, clock=provider.clock.clock, times=PredictionTimes(usual_s))
    waiting = (watcher.ended(name, created_at=CREATED_AT, timeout_s=60) for name in provider.ends_s)
    answers = await asyncio.gather(*waiting)
    await watcher.close()
    return [answer["id"] for answer in answers]


def ending_at(*seconds: float) -> dict[str, float]:
    """Predictions with these ends."""
    return {f"p{number}": second for number, second in enumerate(seconds)}


async def test_one_prediction_is_looked_at_when_its_usual_time_has_passed() -> None:
    """Not before, so that most need one look."""
    provider = Provider(FakeClock(), ending_at(1.0))
    assert await watch(provider) == ["p0"]
    assert provider.asked == {"get": 1}


async def test_many_are_seen_by_lists() -> None:
    """A hundred predictions cost some list calls and not one look each."""
    provider = Provider(FakeClock(), ending_at(*[1.0] * 100))
    assert len(await watch(provider)) == 100
    assert provider.asked["get"] == 0
    assert provider.asked["list"] <= 50


async def test_lists_show_only_what_may_have_ended() -> None:
    """Nothing that is younger than the quickest prediction seen lately is listed: an answer stays short."""
    provider = Provider(FakeClock(), ending_at(*[4.0] * 20))
    await watch(provider, usual_s=4.0)
    first_s = provider.listed_at_s[0]
    assert 4.0 / 2 * QUICK_SHARE <= first_s < 4.0


async def test_looks_that_many_shared_are_spent_on_the_last_ones() -> None:
    """When many have ended at little cost, the three that are left are seen soon after their end, within a look a picture."""
    provider = Provider(FakeClock(), ending_at(*[1.0] * 100, 1.15, 1.3, 1.45))
    await watch(provider)
    assert provider.clock.now_s <= 1.45 + 0.2
    assert provider.asked.total() <= 103


async def test_looks_are_not_spent_before_they_are_saved() -> None:
    """Twelve that end one after the other cost little more than a look each, though one or two have always just ended."""
    provider = Provider(FakeClock(), ending_at(*[0.8 + 0.04 * number for number in range(12)]))
    await watch(provider)
    assert provider.asked.total() <= 16


async def test_what_takes_ever_longer_is_looked_at_ever_more_seldom() -> None:
    """A prediction that takes 50 times as long as usual does not eat up the account's rate."""
    provider = Provider(FakeClock(), ending_at(50.0))
    await watch(provider)
    assert provider.asked["get"] < 35


async def test_an_old_one_that_was_found_lengthens_no_list() -> None:
    """What a look-up has found a minute after its create is asked for by its id, and teaches nothing about the others."""
    provider = Provider(FakeClock(), ending_at(*[1.0] * 20))
    limiter = RateLimiter(None, now=provider.clock.monotonic_s, sleep=provider.clock.sleep)
    api: ReplicateApi = provider  # type: ignore[assignment]  # the two calls that a watcher makes
    watcher = Watcher(api=api, limiter=limiter, clock=provider.clock.clock, times=PredictionTimes(1.0))
    provider.ends_s["found"] = 0.0
    waiting = [watcher.ended(f"p{number}", created_at=CREATED_AT, timeout_s=60) for number in range(20)]
    # A list that began so early would fail the provider's own check.
    found = watcher.ended("found", created_at=CREATED_AT - timedelta(minutes=1), timeout_s=60)
    assert [answer["id"] for answer in await asyncio.gather(*waiting, found)][-1] == "found"
    assert provider.asked["get"] == 1
    assert watcher.times.quick_s >= 1.0 / 2
    await watcher.close()


@pytest.mark.parametrize("hidden", [True, False])
async def test_what_the_lists_do_not_show_is_asked_for_by_its_id(hidden: bool) -> None:  # noqa: FBT001  a case
    """A list that lags, or one in which others' predictions stand before ours, hides nothing for long."""
    provider = Provider(FakeClock(), ending_at(*[3.0] * 20), newer=0 if hidden else 500)
    if hidden:
        provider.hidden = set(provider.ends_s)
    assert len(await watch(provider)) == 20
    assert 20 <= provider.asked["get"] <= 100
    # Two pages a list at most: what 20 predictions fill, and one more.
    assert provider.asked["list"] <= 2 * (LISTS_LAG_S / LIST_PAUSE_S + 2)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("away"),
        httpx.DecodingError("html"),
        httpx.HTTPStatusError("", request=httpx.Request("GET", "http://x"), response=httpx.Response(503)),
    ],
)
async def test_trouble_with_a_list_says_nothing_about_the_predictions(trouble: Exception) -> None:
    """They are looked at again a little later, and every one of them ends well; all images in flight wait meanwhile."""
    provider = Provider(FakeClock(), ending_at(*[1.0] * 20), trouble=[trouble])
    assert len(await watch(provider)) == 20
    assert provider.clock.now_s < 2


async def test_a_service_that_is_away_is_asked_ever_more_seldom() -> None:
    """Twenty answers of 503 in a row take half a minute: the looks after the first ones are two seconds apart."""
    away = httpx.HTTPStatusError("", request=httpx.Request("GET", "http://x"), response=httpx.Response(503))
    provider = Provider(FakeClock(), ending_at(*[1.0] * 20), trouble=[away] * 20)
    assert len(await watch(provider)) == 20
    assert provider.clock.now_s > 30
