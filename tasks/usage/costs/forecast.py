"""The rest of the month: from schedules where a server tells them, else from the last days; it says which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from tasks.core.money import format_rounded, to_usd
from tasks.core.text import format_count
from tasks.usage.costs.figures import Figures

LOOK_BACK_DAYS = 14
"""Whole days whose mean goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDays:
    """Days until the end of the month on which each deployment has a run to come."""

    server: str
    days: Mapping[str, Sequence[date]]
    """By deployment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The sum that the month will come to."""

    spent_micros: int
    expected_micros: int
    """Until the month's end, beside what is spent."""
    basis: str
    """`schedules`, `last days`, or `nothing`: no day of use is known."""
    explanation: tuple[str, ...]
    """One line for each part of it."""

    @property
    def total_micros(self) -> int:
        """At the end of the month."""
        return self.spent_micros + self.expected_micros


def build_forecast(figures: Figures, planned: PlannedDays | None) -> Forecast:
    """Forecast the month's end.

    A deployment costs on each of its days what it has cost on a day of use in the last weeks; everything else goes on
    at its mean of a calendar day.

    Args:
        figures: Both months.
        planned: Runs to come; None: no server could be asked.
    """
    months = figures.months
    # Not before the first day of use: a new user's empty days would halve the forecast.
    used = sorted({group.key[0] for group in figures.groups})
    window = [day for day in months.list_days(LOOK_BACK_DAYS) if used and day >= used[0]]
    lines, expected = [], 0
    scheduled = {} if planned is None else planned.days
    for name, days in sorted(scheduled.items()):
        active = figures.count_days(name, window)
        if not active or not days:
            continue
        a_day = figures.sum_days(window, deployments=[name]).cost_micros // active
        expected += a_day * len(days)
        lines.append(f"{name}: {format_count(len(days), 'more day')} at {format_rounded(to_usd(a_day) or 0.0)}")
    is_scheduled = bool(lines)
    if window:
        rest = figures.sum_days(window, deployments=scheduled, other=True).cost_micros
        a_day = rest // len(window)
        # Said even when it is nothing: the reader learns what the forecast stands on.
        expected += round(a_day * months.days_left)
        what = "everything else" if is_scheduled else "all use"
        mean = f"mean of the last {format_count(len(window), 'day')}"
        lines.append(f"{what}: {months.days_left:.1f} more days at {format_rounded(to_usd(a_day) or 0.0)} ({mean})")
    if figures.sum_this_month().cost_unknown:
        lines.append("attempts of unknown cost are not in it")
    return Forecast(
        spent_micros=figures.sum_this_month().cost_micros,
        expected_micros=expected,
        basis="schedules" if is_scheduled else "last days" if window else "nothing",
        explanation=tuple(lines) or ("no day of use before today: nothing to go by",),
    )
