"""The report of `imagen costs` on a terminal of 80 columns, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date
from textwrap import wrap
from typing import Any

from tasks.core.money import format_rounded
from tasks.core.text import align_columns, format_count
from tasks.metadata.exports.tables import disarm_formula
from tasks.usage.costs.figures import SHOWN_BY
from tasks.usage.costs.report import list_lines

WIDTH = 79
SHOWN = 6
"""Lines of each table; the rest is added up in one."""
DAYS_SHOWN = 7
NAME_CHARACTERS = 34
BAR_CHARACTERS = 24
COLUMNS = ("this month", "last month", "images", "per image")


def format_report(record: dict[str, Any]) -> list[str]:
    """The report for people."""
    if not record["by_day"]:
        return [
            *_wrap(record["sees"]),
            "No usage in this month or the last one.",
            *_format_kept(record),
            *_format_skipped(record),
        ]
    return [
        *_wrap(*_format_head(record)),
        "",
        *_wrap(*_format_forecast(record["forecast"]), *_format_kept(record)),
        *(line for key in SHOWN_BY if key != "day" for line in _format_table(record, key)),
        *_format_days(record["by_day"], record["month"]),
        *_format_failures(record),
        "",
        *_wrap(record["sees"]),
        *_format_skipped(record),
    ]


def format_csv(record: dict[str, Any]) -> str:
    """One table of all amounts; an unknown cost is an empty cell."""
    text, lines = io.StringIO(), list(list_lines(record))
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    # Names are strangers' texts, and a sheet runs what looks like a formula.
    writer.writerows({name: disarm_formula(cell) for name, cell in line.items()} for line in lines)
    return text.getvalue().rstrip("\n")


def shorten(name: str, most: int = NAME_CHARACTERS) -> str:
    """A name that fits; its end tells two of a kind apart, so the middle goes."""
    keep = most - 1
    return name if len(name) <= most else f"{name[: keep - keep // 2]}…{name[-(keep // 2) :]}"


def format_money(amount_usd: float | None) -> str:
    """Dollars of a cell."""
    return "unknown" if amount_usd is None else format_rounded(amount_usd)


def _format_head(record: dict[str, Any]) -> Iterator[str]:
    present, same, before = (record[name] for name in ("this_month", "same_days_before", "whole_month_before"))
    until = f"{record['until'][:16].replace('T', ' ')}, {record['time_zone']}"
    yield f"{record['month']} until {until}: {_format_amount(present)}"
    yield f"{record['month_before']}: {_format_amount(before)}; {format_money(same['cost_usd'])} up to the same day"
    if present["failed_usd"]:
        yield f"{format_money(present['failed_usd'])} of this month bought no image ({format_count(present['failures'], 'attempt')})"


def _wrap(*lines: str) -> list[str]:
    """Sentences in the width of a terminal; a path is not cut, because somebody may copy it."""
    return [
        part
        for line in lines
        for part in wrap(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    ]


def _format_amount(amount: dict[str, Any]) -> str:
    unknown = f" and {amount['cost_unknown']:,} of unknown cost" if amount["cost_unknown"] else ""
    each = "" if not amount["usd_per_image"] else f", {format_money(amount['usd_per_image'])} each"
    return f"{format_money(amount['cost_usd'])}{unknown} for {format_count(amount['images'], 'image')}{each}"


def _format_forecast(forecast: dict[str, Any]) -> Iterator[str]:
    if forecast["basis"] == "nothing":
        yield f"forecast: {forecast['explanation'][0]}"
        return
    source = "the schedules and the last days" if forecast["basis"] == "schedules" else "the last days"
    yield f"forecast for the month: {format_money(forecast['month_end_usd'])}, from {source}"
    yield from (f"  {line}" for line in forecast["explanation"])
    if forecast["basis"] != "schedules":
        yield f"  no schedules: {forecast['server']}"


def _format_kept(record: dict[str, Any]) -> Iterator[str]:
    kept = record["kept"]
    if kept["batches"]:
        each = "unknown" if kept["usd_per_kept_image"] is None else format_money(kept["usd_per_kept_image"])
        reviewed = f"{format_count(kept['images'], 'image')} of {kept['batches']} reviewed here"
        yield f"per kept image: {each} ({kept['kept']:,} kept of {reviewed})"
    if kept["reused"]:
        yield f"reused from other batches for nothing: {format_count(kept['reused'], 'image')}"


def _format_table(record: dict[str, Any], key: str) -> Iterator[str]:
    entries = record[f"by_{key}"]
    # One line without a name says nothing that the head does not say.
    if not [it for it in entries if it["name"]]:
        return
    lines = [_format_line(it["name"] or "-", it) for it in entries[:SHOWN]]
    if rest := entries[SHOWN:]:
        total = sum(it["cost_usd"] or 0 for it in rest)
        before = sum(it["month_before"]["cost_usd"] or 0 for it in rest)
        images = sum(it["images"] for it in rest)
        lines.append((f"{len(rest)} more", format_money(total), format_money(before), f"{images:,}", ""))
    yield ""
    yield from align_columns([(key, *COLUMNS), *lines], numbers=COLUMNS).split("\n")


def _format_line(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    each = entry["usd_per_image"]
    return (
        shorten(name),
        format_money(entry["cost_usd"]),
        format_money(entry["month_before"]["cost_usd"]),
        f"{entry['images']:,}",
        "" if each is None else format_money(each),
    )


def _format_days(entries: Sequence[dict[str, Any]], month: str) -> Iterator[str]:
    # A day belongs to one of the two months.
    shown = {it["name"]: it if it["name"] >= month else it["month_before"] for it in entries[-DAYS_SHOWN:]}
    most = max((it["cost_usd"] or 0 for it in shown.values()), default=0)
    yield ""
    for name, amount in shown.items():
        bar = "█" * round(BAR_CHARACTERS * (amount["cost_usd"] or 0) / most) if most else ""
        weekday = date.fromisoformat(name).strftime("%a")
        yield f"{name} {weekday}  {format_money(amount['cost_usd']):>12}  {bar}".rstrip()


def _format_failures(record: dict[str, Any]) -> Iterator[str]:
    if not record["failures"]:
        return
    lines = [
        (
            shorten(it["batch"] or "-", 26),
            shorten(it["model"], 22),
            shorten(it["kind"], 16),
            f"{it['attempts']:,}",
            format_money(it["cost_usd"]),
        )
        for it in record["failures"][:SHOWN]
    ]
    yield ""
    head = ("failures that cost most", "model", "why", "n", "cost")
    yield from align_columns([head, *lines], numbers=("n", "cost")).split("\n")


def _format_skipped(record: dict[str, Any]) -> list[str]:
    return [f"not read: {line}" for line in record["skipped"]]
