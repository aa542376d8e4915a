"""The limits, by a clock that the test moves, and what a throttled call is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.backends.replicate_simulator.rates import Bucket, build_throttled
from tasks.backends.replicate_simulator.settings import WaitStated
from tests.support.factories import FakeClock
from tests.tasks.backends.replicate_simulator.client import QUICK, rehearsal, seeds


def test_a_bucket_lets_its_burst_through_and_then_its_rate() -> None:
    """Over two minutes: the burst and 600 a minute, not one more."""
    now = [0.0]
    bucket = Bucket(600, 10, lambda: now[0])
    passed = 0
    for _ in range(2_400):
        passed += bucket.take() is None
        now[0] += 0.05
    assert passed == pytest.approx(10 + 1_200, abs=1)


def test_a_call_too_many_is_told_how_long_to_wait() -> None:
    """After that time the next one passes, and not before."""
    now = [0.0]
    bucket = Bucket(6, 1, lambda: now[0])
    assert bucket.take() is None
    now[0] = 4
    wait_s = bucket.take()
    assert wait_s == pytest.approx(6)
    now[0] = 9.9
    assert bucket.take() is not None
    now[0] = 10.1
    assert bucket.take() is None


@pytest.mark.parametrize(
    ("stated", "header", "body", "words"),
    [("body", False, True, True), ("header", True, True, True), ("words", False, False, True)],
)
def test_the_wait_stands_where_the_setting_says(stated: WaitStated, header: bool, body: bool, words: bool) -> None:  # noqa: FBT001  a table's columns
    """Captured answers have it in the body, the documentation in words; rounded up to a second."""
    problem = build_throttled(6.2, "", stated)
    assert ("Retry-After" in problem.headers, "retry_after" in problem.body) == (header, body)
    assert ("resets in ~7s" in problem.detail) == words


async def test_the_rate_holds_over_http_and_scales_with_time() -> None:
    """As time passes one more create is let through; what is too much is counted by kind."""
    settings = replace(QUICK, creates_per_min=60, create_burst=1, reads_per_min=60, read_burst=2)
    async with rehearsal(settings) as here:
        time = FakeClock()
        here.simulator.provider.clock = time.clock
        answers = []
        for values in seeds(3):
            answers += [(await here.post(values)).status_code, (await here.post(values)).status_code]
            time.now_s += 10
        reads = [(await here.get("/v1/account")).status_code for _ in range(5)]
        truth = here.simulator.truth()
    assert answers[0::2] == [201] * 3
    assert answers.count(429) == truth.throttled["create"] == 3
    assert reads.count(429) == truth.throttled["account"] == 3
    assert truth.created == answers.count(201) == len(truth.created_at_s)
