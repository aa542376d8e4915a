"""Days and months of a named time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

from tasks.core.clock import to_instant

Per = Literal["day", "month"]
_UNFIT = ("right/", "localtime", "posixrules")
"""Zones that count leap seconds, and names that mean another zone on another machine."""
QUARTER_US = 15 * 60 * 1_000_000
"""All time zones begin their days on a quarter of an hour of UTC."""


def check_time_zone(name: str) -> str:
    """Check the name of a time zone of the IANA database, such as Europe/Berlin.

    Raises:
        ValueError: There is no such time zone.
    """
    # ZoneInfo raises OSError for a name that is a folder of its data, such as "Europe".
    try:
        is_fit = not name.startswith(_UNFIT) and bool(get_zone(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        is_fit = False
    if not is_fit:
        raise ValueError(f"{name!r} is not a time zone; use a name such as Europe/Berlin or UTC")
    return name


def get_zone(name: str) -> tzinfo:
    """The time zone of a checked name; UTC is there on a machine without data of time zones too."""
    return UTC if name == "UTC" else ZoneInfo(name)


TimeZone = Annotated[str, AfterValidator(check_time_zone)]


@dataclass(frozen=True, kw_only=True)
class Period:
    """One day or month."""

    start: datetime
    end: datetime
    """The first instant that does not belong to it."""

    @cached_property
    def start_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return to_us(self.start)

    @cached_property
    def end_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return to_us(self.end)


def find_period(per: Per, time_zone: str, at_us: int) -> Period:
    """The day or month of a time zone that an instant belongs to.

    Args:
        per: Its length.
        time_zone: Name in the IANA database.
        at_us: Microseconds since 1970 UTC.
    """
    return _find_period(per, time_zone, at_us - at_us % QUARTER_US)


# Each attempt asks for the periods of all caps several times, and nearly always for the same ones.
@lru_cache(maxsize=1_000)
def _find_period(per: Per, time_zone: str, at_us: int) -> Period:
    # By the calendar and not by 24 hours: a day on which clocks change has 23 or 25.
    here = to_instant(at_us).astimezone(get_zone(time_zone))
    start = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if per == "day":
        return Period(start=start, end=start + timedelta(days=1))
    start = start.replace(day=1)
    # The 32nd day after the first of a month is always in the next one.
    return Period(start=start, end=(start + timedelta(days=31)).replace(day=1))


def to_us(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime."""
    return round(instant.timestamp() * 1e6)
