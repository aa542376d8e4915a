"""The clocks of a service: `Date` of its answers, and the time that it writes on predictions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tasks.backends.client.service_clock import ServiceClock
from tasks.backends.replicate.likeness import SentInput
from tasks.backends.replicate.unanswered import MOST_APART, UnansweredCreates

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created_s", "ahead_s"), [(-30, 30), (0.4, 0), (300, 0), (-86_400, MOST_APART.total_seconds()), (None, 0)]
)
def test_a_date_that_is_ahead_of_our_own_predictions_is_noticed(created_s: float | None, ahead_s: float) -> None:
    """A window begins so much earlier: a lost create would stand before it, and be paid for twice."""
    clock = ServiceClock(lambda: 0.0)
    clock.take(httpx.Response(200, headers={"date": "Tue, 24 Nov 2026 10:00:00 GMT"}))
    creates = UnansweredCreates(clock, patience_s=20)
    with creates.sending("job", SentInput(values={})):
        pass
    creates.end("job", None if created_s is None else NOW + timedelta(seconds=created_s))
    assert creates.ahead == timedelta(seconds=ahead_s)
    assert creates.get("job") is None
