"""What `imagen usage` is asked for: instants, ages and keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.core.errors import InputError
from tasks.usage.query import DEFAULT_KEYS, UsageQuery, parse_query

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


@pytest.mark.parametrize("text", ["last tuesday", "7w", "", "99999999999d", "0001-01-01T00:00+14:00"])
@pytest.mark.parametrize("option", ["since", "until"])
def test_a_wrong_instant_says_what_is_right(option: str, text: str) -> None:
    """Exit status 2, the option and the accepted forms."""
    with pytest.raises(InputError, match=f"--{option}: .*7d, 12h or 30m"):
        parsed(**{option: text})  # type: ignore[arg-type]  # one of two names


def test_keys_come_one_by_one_or_with_commas() -> None:
    """In the order given, each once; none given means the usual three."""
    assert parsed(by=("day,model", "caller", "day")).by == ("day", "model", "caller")
    assert parsed().by == DEFAULT_KEYS
    with pytest.raises(InputError, match="--by: 'prompt' is not one of backend, model, caller, day"):
        parsed(by=("prompt",))
