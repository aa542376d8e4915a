"""The usage table for people and programs: aligned columns, JSON, CSV; unknown costs stay unknown."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from tasks.core.clock import to_instant
from tasks.core.configuration.sections import UsageSettings
from tasks.core.money import format_cell, to_usd
from tasks.core.retry import retry_usage
from tasks.core.safe_text import dump_json
from tasks.core.text import align_columns
from tasks.metadata.exports.tables import disarm_formula
from tasks.usage.groups import UsageGroup, sum_groups
from tasks.usage.query import DATED_KEYS, UsageQuery, describe_time_zone
from tasks.usage.rows import COLUMNS, UsageRow
from tasks.usage.sinks import open_sink

Form = Literal["table", "json", "csv"]

SUMS = ("images", "failures", "cost_usd", "unknown", "latency_ms")
CSV_SUMS = ("images", "cost_usd", "cost_unknown", "latency_ms", "failures")
RAW_COLUMNS = (
    "backend",
    "model",
    "seed",
    "prompt_hash",
    "latency_ms",
    "cost_usd",
    "status",
    "batch",
    "caller",
    "id",
)


async def render_groups(settings: UsageSettings, query: UsageQuery, form: Form) -> AsyncIterator[str]:
    """Usage added up, as lines of text.

    Raises:
        UsageError: The sink cannot be read.
    """
    groups = await read_groups(settings, query)
    match form:
        case "table":
            yield format_group_table(groups, query.by)
            if DATED_KEYS.keys() & set(query.by):
                yield f"Days and months are those of {describe_time_zone(datetime.now(UTC))}."
        case "json":
            yield dump_json(build_report(groups, query.by))
        case "csv":
            yield _format_csv_line((*query.by, *CSV_SUMS))
            for group in groups:
                yield _format_csv_line(build_group_record(group, query.by).values())


async def render_rows(settings: UsageSettings, query: UsageQuery, form: Form) -> AsyncIterator[str]:
    """Usage row by row, as lines of text; CSV comes while it is read, so that memory does not grow with the rows.

    Raises:
        UsageError: The sink cannot be read.
    """
    rows = read_rows(settings, query)
    match form:
        case "table":
            yield format_raw_table([row async for row in rows])
        case "json":
            yield dump_json([row.as_dict() async for row in rows])
        case "csv":
            yield _format_csv_line(COLUMNS)
            async for row in rows:
                yield _format_csv_line(row.as_dict().values())


async def read_groups(settings: UsageSettings, query: UsageQuery) -> list[UsageGroup]:
    """Usage added up; nothing where usage is not kept.

    Raises:
        UsageError: The sink cannot be read.
    """
    async with open_sink(settings, retrying=retry_usage(asyncio.sleep)) as sink:
        # No sink is an answer too: the user has switched usage off.
        return [] if sink is None else await sink.groups(query)


async def read_rows(settings: UsageSettings, query: UsageQuery) -> AsyncIterator[UsageRow]:
    """Usage row by row, the newest first; nothing where usage is not kept.

    Raises:
        UsageError: The sink cannot be read.
    """
    async with open_sink(settings, retrying=retry_usage(asyncio.sleep)) as sink:
        if sink is not None:
            async for row in sink.rows(query):
                yield row


def build_group_record(group: UsageGroup, by: Sequence[str]) -> dict[str, Any]:
    """One group as JSON and CSV have it; a cost of which nothing is known is null."""
    return {
        **dict(zip(by, group.key, strict=True)),
        "images": group.images,
        "cost_usd": None if group.has_no_known_cost else to_usd(group.cost_micros),
        "cost_unknown": group.cost_unknown,
        "latency_ms": None if group.latency_ms is None else round(group.latency_ms),
        "failures": group.failures,
    }


def build_report(groups: Sequence[UsageGroup], by: Sequence[str]) -> dict[str, Any]:
    """The grouped report as JSON has it, with its total."""
    total = build_group_record(sum_groups(groups), ())
    del total["latency_ms"]
    return {"groups": [build_group_record(group, by) for group in groups], "total": total}


def format_group_table(groups: Sequence[UsageGroup], by: Sequence[str]) -> str:
    """The grouped table, with a line of totals."""
    lines = [(*(name or "-" for name in group.key), *_format_sums(group)) for group in groups]
    total = ("total", *[""] * (len(by) - 1), *_format_sums(sum_groups(groups)))
    return align_columns([(*by, *SUMS), *lines, total], numbers=SUMS)


def format_raw_table(rows: Iterable[UsageRow]) -> str:
    """The table row by row, with a line of totals."""
    lines, known, unknown = [], 0, 0
    for row in rows:
        known, unknown = known + (row.cost_micros or 0), unknown + (row.cost_micros is None)
        lines.append(_format_raw_line(row))
    # All of them unknown is the only case in which no amount can be named.
    cost = "unknown" if lines and unknown == len(lines) else format_cell(known)
    some = f" and {unknown} unknown" if 0 < unknown < len(lines) else ""
    total = (f"total {len(lines)}", "", "", "", "", "", f"{cost}{some}", *[""] * (len(RAW_COLUMNS) - 6))
    # The column is in the reader's own time, and its name says which that is.
    header = (f"created_at {describe_time_zone(datetime.now(UTC))}", *RAW_COLUMNS)
    return align_columns([header, *lines, total], numbers=("seed", "latency_ms", "cost_usd"))


def _format_sums(group: UsageGroup) -> tuple[str, ...]:
    cost = "unknown" if group.has_no_known_cost else format_cell(group.cost_micros)
    latency = "" if group.latency_ms is None else f"{group.latency_ms:.0f}"
    return str(group.images), str(group.failures), cost, str(group.cost_unknown), latency


def _format_raw_line(row: UsageRow) -> tuple[str, ...]:
    return (
        f"{to_instant(row.created_at_us).astimezone():%Y-%m-%d %H:%M:%S}",
        row.backend,
        row.model or "-",
        str(row.seed),
        row.prompt_hash[:12],
        "" if row.latency_ms is None else str(row.latency_ms),
        "unknown" if row.cost_micros is None else format_cell(row.cost_micros),
        row.status,
        row.batch or "-",
        row.caller,
        row.id,
    )


def _format_csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO()
    # With these line ends a cell that holds one of them is quoted.
    writer = csv.writer(line, lineterminator="\r\n")
    # Names are strangers' texts, and a sheet runs what looks like a formula.
    writer.writerow(map(disarm_formula, cells))
    return line.getvalue().removesuffix("\r\n")
