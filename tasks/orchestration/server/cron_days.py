"""Days on which a cron line comes, without Prefect's own reader, which takes seconds to import."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

CALENDAR = {
    "@hourly": ("*", "*", "*"),
    "@daily": ("*", "*", "*"),
    "@midnight": ("*", "*", "*"),
    "@weekly": ("*", "*", "0"),
    "@monthly": ("1", "*", "*"),
    "@yearly": ("1", "1", "*"),
    "@annually": ("1", "1", "*"),
}
"""Day of the month, month and weekday of the names that stand for a line."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LEAST_FIELDS = 5
ANY = frozenset({"*", "?"})


def list_cron_days(line: str, first: date, end: date) -> list[date]:
    """The days from `first` to `end` (exclusive) on which the line comes at some time.

    Raises:
        ValueError: The line uses what only Prefect understands, such as the last day of a month.
    """
    day, month, weekday = CALENDAR.get(line.strip().lower()) or _split(line)
    days, months = _expand(day, 1, 31, ()), _expand(month, 1, 12, MONTHS)
    # Sunday is 0 and 7.
    weekdays = {number % 7 for number in _expand(weekday, 0, 7, WEEKDAYS)}

    def comes(it: date) -> bool:
        by_day, by_weekday = it.day in days, it.isoweekday() % 7 in weekdays
        # Where both are given, cron means either.
        either = by_day or by_weekday if not {day, weekday} & ANY else by_day and by_weekday
        return it.month in months and either

    return [it for it in _list_days(first, end) if comes(it)]


def _split(line: str) -> tuple[str, str, str]:
    fields = line.lower().split()
    if len(fields) < LEAST_FIELDS:
        raise ValueError(line)
    return fields[2], fields[3], fields[4]


def _list_days(first: date, end: date) -> Iterator[date]:
    while first < end:
        yield first
        first += timedelta(days=1)


def _expand(field: str, least: int, most: int, names: tuple[str, ...]) -> set[int]:
    """The numbers of a field: lists, ranges, steps and names."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span in ANY:
            low, high = least, most
        else:
            start, _, stop = span.partition("-")
            low = _read(start, least, names)
            high = _read(stop, least, names) if stop else most if step else low
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def _read(word: str, least: int, names: tuple[str, ...]) -> int:
    return names.index(word) + least if word in names else int(word)
