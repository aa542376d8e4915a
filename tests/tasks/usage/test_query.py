"""What `imagen usage` is asked for: instants, ages and keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tasks.core.errors import InputError
from tasks.usage.query import DEFAULT_KEYS, UsageQuery, describe_time_zone, format_date, parse_query

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def parsed(*, since: str | None = None, until: str | None = None, by: tuple[str, ...] = ()) -> UsageQuery:
    """The query, asked at a fixed time."""
    return parse_query(since=since, until=until, by=by, now=NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("12h", NOW - timedelta(hours=12)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2026-11-20T10:00:00+02:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
        # A person's day begins where that person is.
        ("2026-11-24", datetime(2026, 11, 24).astimezone(UTC)),
        ("2026-11-24T18:00", datetime(2026, 11, 24, 18).astimezone(UTC)),
    ],
)
def test_instants_are_dates_times_and_ages(text: str, expected: datetime) -> None:
    """The forms that the help names, at both ends."""
    assert parsed(since=text).since == parsed(until=text).until == expected


@pytest.mark.parametrize("text", ["last tuesday", "7w", "", "2026-13", "99999999999d", "0001-01-01T00:00+14:00"])
@pytest.mark.parametrize("option", ["since", "until"])
def test_a_wrong_instant_says_what_is_right(option: str, text: str) -> None:
    """Exit status 2, the option and the accepted forms."""
    with pytest.raises(InputError, match=f"--{option}: .*7d, 12h or 30m"):
        parsed(**{option: text})  # type: ignore[arg-type]  # one of two names


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    """A table of nothing would read as a month that cost nothing."""
    with pytest.raises(InputError, match="--until 2026-11-24 is not after --since 2026-11-24"):
        parsed(since="2026-11-24", until="2026-11-24")


def test_keys_come_one_by_one_or_with_commas() -> None:
    """In the order given, each once; none given means the usual three."""
    assert parsed(by=("day,model", "caller", "day")).by == ("day", "model", "caller")
    assert parsed().by == DEFAULT_KEYS
    with pytest.raises(
        InputError, match="--by: 'prompt' is not one of backend, model, caller, batch, status, day, month"
    ):
        parsed(by=("prompt",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", (2026, 11, 24)),
        ("yesterday", (2026, 11, 23)),
        ("week", (2026, 11, 23)),
        ("month", (2026, 11, 1)),
        ("year", (2026, 1, 1)),
        ("2026-10", (2026, 10, 1)),
    ],
)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "UTC"])
def test_periods_begin_in_the_machine_s_time_zone(
    text: str, expected: tuple[int, int, int], zone: str, time_zone: Callable[[str], None]
) -> None:
    """A month begins at the local midnight of its first day, also across a change of the clocks."""
    time_zone(zone)
    assert parsed(since=text).since == datetime(*expected, tzinfo=ZoneInfo(zone))


def test_the_time_zone_is_named(time_zone: Callable[[str], None]) -> None:
    """By its name and offset, so that nobody has to guess what a day is."""
    time_zone("Europe/Berlin")
    assert describe_time_zone(NOW) == "CET (UTC+01:00)"
    assert format_date("day", datetime(2026, 11, 24, 23, 30, tzinfo=UTC)) == "2026-11-25"
    assert format_date("month", datetime(2026, 11, 30, 23, 30, tzinfo=UTC)) == "2026-12"
