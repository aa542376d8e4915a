"""The clocks of a service: `Date` of its answers, and the time that it writes on predictions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from tasks.backends.client.service_clock import ServiceClock, find_lead
from tasks.backends.replicate.likeness import SentInput
from tasks.backends.replicate.unanswered import UnansweredCreates, check_retained
from tasks.core.errors import Ambiguous

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


def clock_at(date: datetime = NOW) -> ServiceClock:
    """A clock that has heard one answer; its monotonic clock stands still."""
    clock = ServiceClock(lambda: 0.0)
    clock.take(httpx.Response(200, headers={"date": format_datetime(date, usegmt=True)}))
    return clock


def lose(creates: UnansweredCreates, job: str) -> None:
    """Send a create whose answer is lost."""
    with pytest.raises(Ambiguous), creates.sending(job, SentInput(values={})):
        raise Ambiguous("lost", cost_micros=None)


def answer(creates: UnansweredCreates, created_at: datetime | None) -> None:
    """Send a create that is answered with this time."""
    with creates.sending("answered", SentInput(values={})):
        pass
    creates.end("answered", created_at)


@pytest.mark.parametrize(("created_s", "ahead_s"), [(-30, 30), (0.4, 0), (300, 0), (-7_200, 7_200), (None, 0)])
def test_a_date_that_is_ahead_of_our_own_predictions_is_noticed(created_s: float | None, ahead_s: float) -> None:
    """A window begins so much earlier: a lost create would stand before it, and be paid for twice."""
    creates, now_us = UnansweredCreates(clock_at(), patience_s=20), round(NOW.timestamp() * 1e6)
    lose(creates, "job")
    answer(creates, None if created_s is None else NOW + timedelta(seconds=created_s))
    window = creates.find_window("job", NOW, now_us=now_us, own_us=now_us)
    assert window.begin == NOW - timedelta(seconds=ahead_s)
    assert window.end is not None
    assert window.end >= NOW + timedelta(seconds=max(20, created_s or 0))


def test_a_date_that_jumps_ahead_hides_no_create() -> None:
    """The list is read from the last prediction that was made before the lost one, whatever any clock says."""
    clock = clock_at()
    creates, now_us = UnansweredCreates(clock, patience_s=20), round(NOW.timestamp() * 1e6)
    answer(creates, NOW)
    lose(creates, "job")
    assert creates.find_window("job", NOW + timedelta(hours=5), now_us=now_us, own_us=now_us).begin == NOW


def test_clocks_that_are_days_apart_prove_nothing() -> None:
    """Held, unless an own prediction has shown which time the service writes."""
    creates, now_us = UnansweredCreates(clock_at(), patience_s=20), round(NOW.timestamp() * 1e6)
    lose(creates, "first")
    with pytest.raises(Ambiguous, match="3 days apart"):
        creates.find_window("first", NOW, now_us=now_us, own_us=now_us - 3 * 86_400_000_000)
    answer(creates, long_ago := NOW - timedelta(days=3))
    lose(creates, "second")
    with pytest.raises(Ambiguous, match="differ from its clock by days"):
        creates.find_window("first", NOW, now_us=now_us, own_us=now_us)
    assert creates.find_window("second", NOW, now_us=now_us, own_us=now_us).begin == long_ago


@pytest.mark.parametrize(
    ("dates_s", "now_s"),
    [
        ([0, 3_600, 0], 0),  # one is an hour ahead
        ([3_600, 0, 0], 0),
        ([0, 0, -86_400 * 365], 0),  # one is a year old, as a page out of a cache
        ([0, -2, 0], -2),  # a slow answer: nothing is hidden by a time that is a little early
        ([30, 0], 0),
    ],
)
def test_one_odd_date_moves_no_window(dates_s: list[float], now_s: float) -> None:
    """A look-up that began later than its create would find nothing, and the job would be paid for twice."""
    clock = ServiceClock(lambda: 0.0)
    for date_s in dates_s:
        clock.take(httpx.Response(200, headers={"date": format_datetime(NOW + timedelta(seconds=date_s), usegmt=True)}))
    assert clock.now_us() == round((NOW.timestamp() + now_s) * 1e6)


@pytest.mark.parametrize(("since_s", "dates_s", "now_s"), [(-1, [], 0), (60, [90], 90), (60, [50], 50), (60, [], 0)])
async def test_a_clock_that_went_slow_is_put_right_before_a_look_up(
    since_s: float, dates_s: list[float], now_s: float
) -> None:
    """After a machine's sleep the time of a send by another worker seems to come yet: the service is asked once more."""
    clock = clock_at()

    async def ask() -> None:
        if not dates_s:
            raise httpx.ConnectError("away")
        date = NOW + timedelta(seconds=dates_s.pop())
        clock.take(httpx.Response(200, headers={"date": format_datetime(date, usegmt=True)}))

    now_us = await clock.read_us(ask, NOW + timedelta(seconds=since_s))
    assert now_us == round((NOW.timestamp() + now_s) * 1e6)
    assert dates_s == []


@pytest.mark.parametrize(("ahead_s", "lead_s"), [(-7_200, 0), (0, 0), (40, 40), (7_200, 7_200)])
def test_a_service_that_is_ahead_of_us_is_asked_from_earlier_on(ahead_s: float, lead_s: float) -> None:
    """Before any create was answered nobody knows which of the two clocks is wrong."""
    assert find_lead(round(ahead_s * 1e6), 0) == timedelta(seconds=lead_s)


@pytest.mark.parametrize("since_s", [-3_600, 11, 7_200])
def test_a_time_that_no_list_can_tell_about_proves_nothing(since_s: float) -> None:
    """Too long ago, or not come yet as after a clock that was put right: the job is held."""
    with pytest.raises(Ambiguous):
        check_retained(NOW + timedelta(seconds=since_s), round(NOW.timestamp() * 1e6))
