"""What is repeated, how often, after which waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from tasks.core import retry
from tasks.core.errors import (
    BadImage,
    JobError,
    Unfetched,
    UsageAway,
    UsageRefused,
)
from tasks.core.retry import (
    BROKEN_TRIES,
    FETCH_TRIES,
    LONGEST_RETRY_AFTER_S,
    LONGEST_WAIT_S,
    USAGE_LONGEST_WAIT_S,
    USAGE_PATIENCE_S,
    get_attempt_pause_s,
    parse_retry_after,
    retry_fetch,
    retry_usage,
)
from tests.support.factories import FakeClock


def failing(error: JobError, calls: list[int]) -> Callable[[], Awaitable[None]]:
    """A call that fails each time and counts."""

    async def call() -> None:
        calls.append(1)
        raise error

    return call


async def test_broken_bytes_are_fetched_again() -> None:
    """Fetching is free, so it is repeated, apart from the generation."""
    clock = FakeClock()
    calls: list[int] = []
    with pytest.raises(BadImage):
        await retry_fetch(clock.sleep, failing(BadImage("cut"), calls))
    assert len(calls) == BROKEN_TRIES


async def test_a_host_in_trouble_is_asked_with_patience() -> None:
    """The picture is paid for: a host that is away for half a minute does not lose it."""
    clock = FakeClock()
    calls: list[int] = []
    with pytest.raises(Unfetched):
        await retry_fetch(clock.sleep, failing(Unfetched("away"), calls))
    assert len(calls) == FETCH_TRIES
    assert max(clock.slept_s) <= LONGEST_WAIT_S


def test_the_pause_between_attempts_doubles_and_is_bounded() -> None:
    """Also at absurd numbers."""
    assert [get_attempt_pause_s(number) for number in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert get_attempt_pause_s(10**9) == LONGEST_WAIT_S


async def test_the_usage_sink_is_waited_for_with_growing_waits_and_not_for_ever() -> None:
    """Its own wish counts where it is longer; all calls together wait a minute at most."""
    clock, calls = FakeClock(), []
    retrying = retry_usage(clock.sleep)

    async def call() -> None:
        calls.append(1)
        raise UsageAway("away", retry_after_s=7 if len(calls) == 2 else None)

    with pytest.raises(UsageAway):
        await retrying(call)
    assert clock.slept_s[1] == 7
    own = [wait for wait in clock.slept_s if wait != 7 and wait < USAGE_LONGEST_WAIT_S]
    assert len(own) >= 4
    assert own == sorted(own)
    assert 30 < sum(clock.slept_s) <= USAGE_PATIENCE_S
    before = len(clock.slept_s)
    with pytest.raises(UsageAway):
        await retrying(call)
    assert sum(clock.slept_s) <= USAGE_PATIENCE_S
    assert len(clock.slept_s) - before < before


async def test_a_wait_beyond_all_patience_is_not_begun() -> None:
    """A sink that asks for an hour keeps no run from its end."""
    clock = FakeClock()

    async def call() -> None:
        raise UsageAway("away", retry_after_s=3_600)

    with pytest.raises(UsageAway):
        await retry_usage(clock.sleep)(call)
    assert clock.slept_s == []


async def test_a_ledger_that_is_found_away_late_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that broke while this machine slept longer than the patience does not tell whether the server is there."""
    monkeypatch.setattr(retry, "LEDGER_PATIENCE_S", 0.0)
    errors = [OSError("the connection was closed"), OSError("nobody listens"), OSError("a third try")]

    async def ask() -> None:
        raise errors.pop(0)

    with pytest.raises(OSError, match="nobody listens"):
        await retry.retry_database(lambda _: True).copy(sleep=FakeClock().sleep)(ask)


async def test_a_refusal_of_the_usage_sink_is_not_repeated() -> None:
    """A wrong key stays wrong."""
    clock = FakeClock()

    async def call() -> None:
        raise UsageRefused("key", "no")

    with pytest.raises(UsageRefused):
        await retry_usage(clock.sleep)(call)
    assert clock.slept_s == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        (3, 3.0),
        ("-4", 0.0),
        ("1e300", LONGEST_RETRY_AFTER_S),
        (10**400, None),
        ("nan", None),
        ("inf", None),
        (True, None),
        (None, None),
        ("", None),
        ("soon", None),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("Tue, 24 Nov 9026 11:00:00 GMT", LONGEST_RETRY_AFTER_S),
        ("Tue, 24 Nov 2026 12:00:30", 30.0),
        ("Tue, 99 Nov 99999999999 12:00:30", None),
    ],
)
def test_retry_after_is_read_and_bounded(value: str | float | None, seconds: float | None) -> None:
    """A number or a date, never negative, never longer than a day; anything else says nothing."""
    assert parse_retry_after(value, now=datetime(2026, 11, 24, 12, tzinfo=UTC)) == seconds
