"""Caps of the configuration: each mistake is named, and each instant belongs to one period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from tasks.core.caps.cap import CapSettings
from tasks.core.caps.periods import Per, check_time_zone, find_period
from tasks.core.configuration.settings import load_settings
from tasks.core.errors import ConfigError


@pytest.mark.parametrize(
    ("caps", "told"),
    [
        ("[{per: day}]", "caps.0: needs either usd or images"),
        ("[{usd: 1, images: 2, per: day}]", "needs either usd or images"),
        ("[{usd: 1, per: week}]", "caps.0.per: Input should be 'day' or 'month'"),
        ("[{usd: -1, per: day}]", "caps.0.usd: Input should be greater than or equal to 0"),
        ("[{usd: 1, per: day, timezone: Berlin}]", "'Berlin' is not a time zone; use a name such as Europe/Berlin"),
        ("[{usd: 1, per: day, timezone: localtime}]", "'localtime' is not a time zone"),
        ("[{usd: 1, per: day, timezone: right/UTC}]", "'right/UTC' is not a time zone"),
        ("[{usd: 1, per: day, callr: studio}]", "caps.0.callr: there is no such setting"),
        ("[{usd: 1, per: day}, {usd: 2, per: day}]", "cap 2 is for the same attempts as cap 1"),
        ("[{usd: 1, per: day, backend: sketsh}]", "cap 1 meets no backend by its `backend` and `model`"),
        ("[{usd: .inf, per: day}]", "caps.0.usd"),
    ],
)
def test_a_wrong_cap_is_named_with_its_line(tmp_path: Path, caps: str, told: str) -> None:
    """A cap that would not hold is refused with its file, its line and the remedy."""
    path = tmp_path / "imagen.yaml"
    path.write_text(f"backends:\n  sketch: {{type: sketch}}\ncaps: {caps}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert "imagen.yaml:3: " in str(caught.value)
    assert told in str(caught.value)


def test_utc_needs_no_data_of_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone of caps that name none is there on a machine that knows no zones at all."""

    def refuse(name: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr("tasks.core.caps.periods.ZoneInfo", refuse)
    assert check_time_zone("UTC") == "UTC"
    at_us = round(datetime(2026, 2, 28, 23, tzinfo=UTC).timestamp() * 1e6)
    assert find_period("month", "UTC", at_us).end.isoformat() == "2026-03-01T00:00:00+00:00"


def test_a_bracket_in_a_pattern_stands_for_itself() -> None:
    """Only `*` and `?` stand for other letters, so a cap for a caller with brackets in the name holds."""
    scope = CapSettings(usd=1, per="day", caller="team [a-c]*").scope
    assert scope.covers_caller("team [a-c] of Zoë")
    assert not scope.covers_caller("team b")


@pytest.mark.parametrize(
    ("per", "local", "hours"),
    [
        ("day", "2026-03-29 12:00", 23),
        ("day", "2026-10-25 02:30", 25),
        ("day", "2026-12-31 23:59", 24),
        ("month", "2026-02-28 23:59", 28 * 24),
        ("month", "2026-12-01 00:00", 31 * 24),
    ],
)
def test_periods_follow_the_calendar_of_their_time_zone(per: Per, local: str, hours: int) -> None:
    """A day on which clocks change is shorter or longer, and the last of a month or year leads into the next one."""
    instant = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    period = find_period(per, "Europe/Berlin", round(instant.timestamp() * 1e6))
    assert period.start <= instant < period.end
    assert timedelta(microseconds=period.end_us - period.start_us) == timedelta(hours=hours)
    assert (period.end.hour, period.end.minute) == (0, 0)
