"""The schedule of looks, in virtual time: what an image that is ready waits, and what that costs in requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean
from typing import Any

import pytest

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate.prediction_times import PredictionTimes
from tasks.backends.replicate.watcher import SLOW_S, Watcher
from tasks.core.clock import Clock, to_instant
from tests.support.virtual_time import make_loop_clock, run_in_virtual_time

CREATE_S, GET_S, LIST_S = 0.003, 0.004, 0.005
"""Time of an answer."""
SPREAD = 0.25
"""Share of the mean by which a prediction is faster or slower at most."""
REQUESTS_PER_IMAGE = 3.2
SLOW_AFTER_S = 3.0


@dataclass
class Service:
    """Predictions that take their time; it counts the looks at them."""

    clock: Clock
    times: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Creation and end by id, in microseconds."""
    looks: int = 0

    def create(self, name: str, seconds: float) -> datetime:
        now_us = self.clock.now_us()
        self.times[name] = (now_us, now_us + round(seconds * 1e6))
        return to_instant(now_us)

    async def get(self, name: str) -> dict[str, Any]:
        self.looks += 1
        await self.clock.sleep(GET_S)
        return self._answer(name)

    async def list_created(self, since: datetime, *, before: datetime) -> AsyncIterator[list[dict[str, Any]]]:
        found = [name for name, (created_us, _) in self.times.items() if since <= to_instant(created_us) < before]
        for start in range(0, len(found), 100):
            self.looks += 1
            await self.clock.sleep(LIST_S)
            yield [self._answer(name) for name in found[start : start + 100]]

    def _answer(self, name: str) -> dict[str, Any]:
        created_us, ends_us = self.times[name]
        if self.clock.now_us() < ends_us:
            return {"id": name, "status": "processing"}
        return {"id": name, "status": "succeeded", "metrics": {"predict_time": (ends_us - created_us) / 1e6}}


@dataclass
class SlowOnce(Service):
    """A service of which one answer takes half a minute."""

    slow: str = ""

    async def get(self, name: str) -> dict[str, Any]:
        await self._dawdle("get")
        return await super().get(name)

    async def list_created(self, since: datetime, *, before: datetime) -> AsyncIterator[list[dict[str, Any]]]:
        await self._dawdle("list")
        async for page in super().list_created(since, before=before):
            yield page

    async def _dawdle(self, call: str) -> None:
        if self.slow == call and self.clock.monotonic_s() > SLOW_AFTER_S:
            self.slow = ""
            await self.clock.sleep(30.0)


async def generate(jobs: int, in_flight: int, latency_s: float) -> tuple[float, float]:
    """Seconds that an image which is ready waits on the average, and requests for each with create and delivery."""
    clock, chance = make_loop_clock(), random.Random(1)
    service = Service(clock)
    limiter = RateLimiter(None, now=clock.monotonic_s, sleep=clock.sleep)
    api: Any = service
    watcher = Watcher(api=api, limiter=limiter, clock=clock, times=PredictionTimes(latency_s))
    waited_s: list[float] = []
    names = iter([f"p{number}" for number in range(jobs)])

    async def work() -> None:
        for name in names:
            await clock.sleep(CREATE_S)
            created_at = service.create(name, latency_s * chance.uniform(1 - SPREAD, 1 + SPREAD))
            await watcher.ended(name, created_at=created_at, timeout_s=600)
            waited_s.append((clock.now_us() - service.times[name][1]) / 1e6)

    await asyncio.gather(*(work() for _ in range(in_flight)))
    await watcher.close()
    return mean(waited_s), 2 + service.looks / jobs


@pytest.mark.parametrize(("jobs", "in_flight", "latency_s"), [(3_000, 128, 0.5), (1_000, 64, 1.0)])
def test_an_image_that_is_ready_waits_ten_milliseconds(jobs: int, in_flight: int, latency_s: float) -> None:
    """With many in flight a list comes soon enough, within the requests that an image may cost."""
    waited_s, requests = run_in_virtual_time(generate(jobs, in_flight, latency_s))
    assert waited_s <= 0.010
    assert requests <= REQUESTS_PER_IMAGE


@pytest.mark.parametrize(("in_flight", "latency_s"), [(1, 1.0), (3, 1.0), (8, 1.0), (16, 0.5), (32, 2.0), (64, 8.0)])
def test_few_or_slow_predictions_cost_no_more_requests(in_flight: int, latency_s: float) -> None:
    """Where looks at this pace would be more than an image may cost, they come later; never by a fifth of its time."""
    waited_s, requests = run_in_virtual_time(generate(300, in_flight, latency_s))
    assert requests <= REQUESTS_PER_IMAGE + 0.2
    assert waited_s <= latency_s / 5


@pytest.mark.parametrize("slow", ["get", "list"])
@pytest.mark.parametrize("in_flight", [4, 64])
def test_a_slow_answer_holds_up_no_other_prediction(in_flight: int, slow: str) -> None:
    """One answer that takes half a minute makes only those wait that it is about, and costs no more requests."""

    async def generate_beside_a_slow_answer() -> tuple[list[float], int]:
        clock, waited_s = make_loop_clock(), list[float]()
        service = SlowOnce(clock, slow=slow)
        limiter = RateLimiter(None, now=clock.monotonic_s, sleep=clock.sleep)
        api: Any = service
        watcher = Watcher(api=api, limiter=limiter, clock=clock, times=PredictionTimes(1.0))
        names = iter([f"p{number}" for number in range(20 * in_flight)])

        async def work() -> None:
            for name in names:
                await clock.sleep(CREATE_S)
                created_at = service.create(name, 1.0)
                # Of every fourth the creation is unknown, so that it is asked for by its id.
                is_known = int(name[1:]) % 4 > 0 or slow == "list"
                await watcher.ended(name, created_at=created_at if is_known else None, timeout_s=600)
                waited_s.append((clock.now_us() - service.times[name][1]) / 1e6)

        await asyncio.gather(*(work() for _ in range(in_flight)))
        await watcher.close()
        return waited_s, service.looks

    waited_s, looks = run_in_virtual_time(generate_beside_a_slow_answer())
    late = [seconds for seconds in waited_s if seconds > 2 * SLOW_S]
    assert len(late) <= (1 if slow == "get" else in_flight)
    assert sorted(waited_s)[len(waited_s) * 9 // 10] <= SLOW_S
    assert looks <= 2 * len(waited_s)
