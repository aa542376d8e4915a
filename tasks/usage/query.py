"""A selection of the usage table: from when to when, and added up by what.

Days and months are those of the machine's time zone; instants without an offset are too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.core.errors import InputError

# Days and months are those of the reader's own time zone, and the report names that zone.
DATED_KEYS = {"day": "%Y-%m-%d", "month": "%Y-%m"}
KEYS = ("backend", "model", "caller", "batch", "status", *DATED_KEYS, "deployment")
"""Keys by which usage can be added up."""
DEFAULT_KEYS = KEYS[:3]

_AGE = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_MONTH = re.compile(r"\d{4}-\d{2}")
_PERIODS = ("today", "yesterday", "week", "month", "year")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A part of the usage table."""

    since: datetime | None = None
    """Start of the period (inclusive); None: from the beginning."""
    until: datetime | None = None
    """End of the period (exclusive); None: to the end."""
    by: tuple[str, ...] = DEFAULT_KEYS
    """Of `KEYS`; read only where rows are added up."""


def parse_query(*, since: str | None, until: str | None, by: Iterable[str], now: datetime) -> UsageQuery:
    """The query that the command line's words ask for.

    Raises:
        InputError: One of them is not understood, or no time is between them.
    """
    begin = None if since is None else _parse_moment("--since", since, now=now)
    end = None if until is None else _parse_moment("--until", until, now=now)
    # A table of nothing would read as a month without costs.
    if begin is not None and end is not None and end <= begin:
        raise InputError(f"--until {until} is not after --since {since}; the period ends before --until")
    return UsageQuery(since=begin, until=end, by=_parse_keys(by) or DEFAULT_KEYS)


def format_date(key: str, moment: datetime) -> str:
    """The day or month of an instant, in the machine's time zone."""
    return f"{moment.astimezone():{DATED_KEYS[key]}}"


def describe_time_zone(now: datetime) -> str:
    """The machine's time zone, as `CET (UTC+01:00)`."""
    local = now.astimezone()
    offset = f"{local:%z}"
    return f"{local.tzname()} (UTC{offset[:3]}:{offset[3:5]})"


def _parse_moment(option: str, text: str, *, now: datetime) -> datetime:
    """A date, a month, a date and time (local without an offset), an age as `7d`, or the start of a period as `month`."""
    try:
        if text in _PERIODS:
            return _start_period(text, now)
        if age := _AGE.fullmatch(text):
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(
            f"{option}: {text!r} is not a date; write 2026-11-24, 2026-11-24T18:00, 2026-11, today, yesterday, week, "
            "month, year, 7d, 12h or 30m"
        ) from None


def _start_period(name: str, now: datetime) -> datetime:
    """The first instant of the present day, week (Monday), month or year, or of the day before."""
    # Without its offset the date is computed by the calendar: a day is not 24 hours where the clocks are changed.
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    start = {
        "today": midnight,
        "yesterday": midnight - timedelta(days=1),
        "week": midnight - timedelta(days=midnight.weekday()),
        "month": midnight.replace(day=1),
        "year": midnight.replace(month=1, day=1),
    }[name]
    return start.astimezone(UTC)


def _parse_keys(words: Iterable[str]) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(word.strip() for given in words for word in given.split(",")))
    for key in keys:
        if key not in KEYS:
            raise InputError(f"--by: {key!r} is not one of {', '.join(KEYS)}")
    return keys
