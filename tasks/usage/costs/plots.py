"""The plots of the costs page, as SVG inside of it: no library, no script, readable without colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from math import floor, log10
from typing import Any

from tasks.usage.costs.screen import format_money

WIDTH, HEIGHT = 720, 240
"""Of a plot's own grid; the page scales it."""
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 28
DAYS = 31
TICKS = 4
BAR_WIDTH = 160
"""Of a bar beside a line of a table."""
Point = tuple[float, float]


def draw_days(entries: Sequence[Mapping[str, Any]], month: str) -> str:
    """Cost by day of the month: this month's bars before those of the month before."""
    present, before = _split_months(entries, month)
    most = _round_up(max([*present.values(), *before.values()], default=0.0))
    slot = (WIDTH - LEFT - RIGHT) / DAYS
    parts = list(_draw_axes(most))
    for kind, days, offset, share in (("before", before, 0.08, 0.84), ("present", present, 0.22, 0.56)):
        for day, amount in days.items():
            height = _scale(amount, most)
            x = LEFT + (day - 1 + offset) * slot
            title = f"{day}: {format_money(amount)}"
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{HEIGHT - BOTTOM - height:.1f}" width="{share * slot:.1f}" '
                f'height="{height:.1f}"><title>{escape(title)}</title></rect>'
            )
    return _wrap(parts, "Cost by day of the month")


def draw_growth(entries: Sequence[Mapping[str, Any]], month: str, *, last_day: int, month_end_usd: float | None) -> str:
    """Cost added up over the month, that of the month before, and the way to the forecast."""
    present, before = _split_months(entries, month)
    today = max(present, default=1)
    ours, theirs = _add_up(present, today), _add_up(before, DAYS)
    most = _round_up(max([*(amount for _, amount in (*ours, *theirs)), month_end_usd or 0.0], default=0.0))
    parts = list(_draw_axes(most))
    if before:
        parts.append(_draw_line("line-before", theirs, most, "last month"))
    if present:
        parts.append(_draw_line("line-present", ours, most, "this month"))
    if month_end_usd is not None:
        start = ours[-1] if ours else (1, 0.0)
        way = [start, (last_day, month_end_usd)]
        parts.append(_draw_line("line-forecast", way, most, f"forecast: {format_money(month_end_usd)}"))
    return _wrap(parts, "Cost added up over the month")


def draw_bar(amount: float | None, most: float) -> str:
    """A bar of one line of a table."""
    width = BAR_WIDTH * (amount or 0.0) / most if most else 0.0
    return (
        f'<svg class="bar" viewBox="0 0 {BAR_WIDTH} 12" role="presentation">'
        f'<rect class="present" x="0" y="1" width="{width:.1f}" height="10"></rect></svg>'
    )


def _round_up(amount: float) -> float:
    """The top of an axis whose ticks are round numbers; 0 stays 0."""
    if amount <= 0:
        return 0.0
    step = amount / TICKS
    power = 10.0 ** floor(log10(step))
    return (
        TICKS * power * next(round_step for round_step in (1, 2, 2.5, 5, 10) if round_step * power >= step * 0.999999)
    )


def _split_months(entries: Iterable[Mapping[str, Any]], month: str) -> tuple[dict[int, float], dict[int, float]]:
    """Dollars by day of the month: this month's, and those of the month before."""
    present: dict[int, float] = {}
    before: dict[int, float] = {}
    for entry in entries:
        is_present = entry["name"] >= month
        amount = entry if is_present else entry["month_before"]
        days, day = present if is_present else before, int(entry["name"][8:10])
        # Added: another machine's clock that is ahead may have begun the next month, which counts to this one.
        days[day] = days.get(day, 0.0) + (amount["cost_usd"] or 0.0)
    return present, before


def _add_up(days: Mapping[int, float], last: int) -> list[Point]:
    total = 0.0
    points: list[Point] = []
    for day in range(1, last + 1):
        total += days.get(day, 0.0)
        points.append((day, total))
    return points


def _scale(amount: float, most: float) -> float:
    return (HEIGHT - TOP - BOTTOM) * amount / most if most else 0.0


def _draw_line(kind: str, points: Sequence[Point], most: float, title: str) -> str:
    slot = (WIDTH - LEFT - RIGHT) / DAYS
    places = " ".join(
        f"{LEFT + (day - 0.5) * slot:.1f},{HEIGHT - BOTTOM - _scale(amount, most):.1f}" for day, amount in points
    )
    return f'<polyline class="{kind}" points="{places}"><title>{escape(title)}</title></polyline>'


def _draw_axes(most: float) -> Iterator[str]:
    for tick in range(TICKS + 1):
        amount = most * tick / TICKS
        y = HEIGHT - BOTTOM - _scale(amount, most)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"></line>'
        # Without any cost all ticks would lie on one another.
        if most or not tick:
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">${_format_tick(amount)}</text>'
    slot = (WIDTH - LEFT - RIGHT) / DAYS
    for day in (1, 5, 10, 15, 20, 25, 30):
        yield f'<text x="{LEFT + (day - 0.5) * slot:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{day}</text>'


def _format_tick(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.3g}"  # noqa: PLR2004  cents say nothing there


def _wrap(parts: Iterable[str], label: str) -> str:
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
