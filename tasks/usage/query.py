"""What of the usage table is asked for: from when to when, and added up by what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.core.errors import InputError

KEYS = ("backend", "model", "caller", "day")
"""What usage can be added up by; a day is one of UTC."""
DEFAULT_KEYS = KEYS[:3]

_AGE = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A part of the usage table."""

    since: datetime | None = None
    """First instant that counts; None: from the beginning."""
    until: datetime | None = None
    """First instant that does not count any more; None: to the end."""
    by: tuple[str, ...] = DEFAULT_KEYS
    """Of `KEYS`; read only where rows are added up."""


def parse_query(*, since: str | None, until: str | None, by: Iterable[str], now: datetime) -> UsageQuery:
    """The query that the command line's words ask for.

    Raises:
        InputError: One of them is not understood.
    """
    return UsageQuery(
        since=None if since is None else _parse_moment("--since", since, now=now),
        until=None if until is None else _parse_moment("--until", until, now=now),
        by=_parse_keys(by) or DEFAULT_KEYS,
    )


def _parse_moment(option: str, text: str, *, now: datetime) -> datetime:
    """A date, a date and time (local without an offset), or an age as `7d`."""
    try:
        if age := _AGE.fullmatch(text):
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(
            f"{option}: {text!r} is not a date; write 2026-11-24, 2026-11-24T18:00, 7d, 12h or 30m"
        ) from None


def _parse_keys(words: Iterable[str]) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(word for given in words for word in given.split(",")))
    for key in keys:
        if key not in KEYS:
            raise InputError(f"--by: {key!r} is not one of {', '.join(KEYS)}")
    return keys
