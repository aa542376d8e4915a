"""How far a batch is, in words: the figures that a person waits by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.core.display import ProgressSnapshot, RateMeter, describe_progress

HALFWAY = ProgressSnapshot(
    total=1_000, done=400, failed=3, in_flight=16, rate_per_s=10.0, cost_micros=1_200_000, cost_unknown=0
)


def test_a_moment_is_told_in_one_line() -> None:
    """Failed, in flight, rate, time left, dollars spent and projected."""
    assert describe_progress(HALFWAY) == "3 failed, 16 in flight, 10.0/s, 0:01:00 left, $1.20 of about $3.00"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"done": 0, "rate_per_s": 0.0, "cost_micros": 0}, "3 failed, 16 in flight, $0.00"),
        ({"rate_per_s": 0.05}, "3 failed, 16 in flight, 3.0/min, 3:20:00 left, $1.20 of about $3.00"),
        (
            {"cost_micros": 12_000, "rate_per_s": 0.0},
            "3 failed, 16 in flight, $0.012 of about $0.03",
        ),
        (
            {"draining": True, "interrupted": True},
            "3 failed, 16 in flight, $1.20 of about $3.00, Ctrl-C again stops now",
        ),
        ({"draining": True}, "3 failed, 16 in flight, $1.20 of about $3.00, Ctrl-C twice stops now"),
        ({"cost_micros": 0, "cost_unknown": 4, "rate_per_s": 0.0}, "3 failed, 16 in flight, $0.00 and 4 unknown"),
        (
            {"slowed_to_per_min": 320.4, "rate_per_s": 0.0},
            "3 failed, 16 in flight, $1.20 of about $3.00, slowed to 320/min by the provider",
        ),
        (
            {"slowed_to_per_min": 6.0, "pause_s": 12.3, "rate_per_s": 0.0},
            "3 failed, 16 in flight, $1.20 of about $3.00, slowed to 6/min by the provider, asked to wait 12 s",
        ),
    ],
)
def test_what_is_not_known_or_not_the_case_is_left_out(changes: dict[str, float], words: str) -> None:
    """A throttle is told when it bites, an unknown cost is never a 0 alone, a drain tells how to stop at once."""
    assert describe_progress(replace(HALFWAY, **changes)) == words  # type: ignore[arg-type]  # numbers of its fields


def test_the_rate_follows_the_last_half_minute() -> None:
    """A batch that was fast and is slow now says when it will really end."""
    meter = RateMeter()
    assert meter.rate_per_s(0, 0) == 0
    assert meter.rate_per_s(10, 100) == 10
    for now_s in range(20, 100, 10):
        rate_per_s = meter.rate_per_s(now_s, 100 + now_s)
    assert rate_per_s == pytest.approx(1.0)
