"""What people read of the usage table: columns that line up, totals, unknown costs shown as unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.clock import instant
from tasks.errors import InputError
from tasks.records import usd
from tasks.settings import UsageSettings
from tasks.text_table import aligned
from tasks.usage.rows import UsageRow
from tasks.usage.sinks import UsageGroup, open_sink

GROUP_HEADER = ("backend", "model", "caller", "images", "cost_usd", "unknown", "latency_ms")
RAW_HEADER = ("created_at", "backend", "model", "seed", "prompt_hash", "latency_ms", "cost_usd", "caller", "id")

_AGE = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def parse_since(text: str, *, now: datetime) -> datetime:
    """The instant that `--since` names: a date, a date and time (local without an offset), or an age as `7d`.

    Raises:
        InputError: It is none of these.
    """
    if age := _AGE.fullmatch(text):
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"--since: {text!r} is not a date; write 2026-11-24, 2026-11-24T18:00, 7d, 12h or 30m"
        ) from None
    return moment.astimezone(UTC)


async def read_groups(settings: UsageSettings, since: datetime | None) -> list[UsageGroup]:
    """Usage from an instant on, added up; nothing where usage is not kept.

    Raises:
        UsageError: The sink cannot be read.
    """
    async with open_sink(settings) as sink:
        return [] if sink is None else await sink.groups(since)


async def read_rows(settings: UsageSettings, since: datetime | None) -> list[UsageRow]:
    """Usage from an instant on, row by row, the newest first; nothing where usage is not kept.

    Raises:
        UsageError: The sink cannot be read.
    """
    async with open_sink(settings) as sink:
        return [] if sink is None else [row async for row in sink.rows(since)]


def group_values(group: UsageGroup) -> dict[str, Any]:
    """One group as JSON has it."""
    return {
        "backend": group.backend,
        "model": group.model,
        "caller": group.caller,
        "images": group.images,
        "cost_usd": usd(group.cost_micros),
        "cost_unknown": group.cost_unknown,
        "latency_ms": None if group.latency_ms is None else round(group.latency_ms),
    }


def row_values(row: UsageRow) -> dict[str, Any]:
    """One row as JSON has it."""
    return {
        "id": row.id,
        "created_at": instant(row.created_at_us).isoformat(timespec="microseconds"),
        "backend": row.backend,
        "model": row.model,
        "seed": row.seed,
        "prompt_hash": row.prompt_hash,
        "latency_ms": row.latency_ms,
        "cost_usd_estimate": usd(row.cost_micros),
        "caller": row.caller,
    }


def group_table(groups: Sequence[UsageGroup]) -> str:
    """The grouped table, with a line of totals."""
    lines = [_group_line(group) for group in groups]
    known = sum(group.cost_micros for group in groups)
    unknown = sum(group.cost_unknown for group in groups)
    total = ("total", "", "", str(sum(group.images for group in groups)), _cost(known, unknown), str(unknown), "")
    return aligned([GROUP_HEADER, *lines, total], numbers=GROUP_HEADER[3:])


def raw_table(rows: Iterable[UsageRow]) -> str:
    """The table row by row, with a line of totals."""
    lines, known, unknown = [], 0, 0
    for row in rows:
        known, unknown = known + (row.cost_micros or 0), unknown + (row.cost_micros is None)
        lines.append(_raw_line(row))
    total = (f"total {len(lines)}", "", "", "", "", "", _cost(known, unknown), "", "")
    return aligned([RAW_HEADER, *lines, total], numbers=("seed", "latency_ms", "cost_usd"))


def _group_line(group: UsageGroup) -> tuple[str, ...]:
    latency = "" if group.latency_ms is None else f"{group.latency_ms:.0f}"
    cost = _cost(group.cost_micros, group.cost_unknown if group.cost_unknown == group.images else 0)
    names = (group.backend, group.model or "-", group.caller)
    return (*names, str(group.images), cost, str(group.cost_unknown), latency)


def _raw_line(row: UsageRow) -> tuple[str, ...]:
    return (
        instant(row.created_at_us).strftime("%Y-%m-%d %H:%M:%S"),
        row.backend,
        row.model or "-",
        str(row.seed),
        row.prompt_hash[:12],
        "" if row.latency_ms is None else str(row.latency_ms),
        "unknown" if row.cost_micros is None else _dollars(row.cost_micros),
        row.caller,
        row.id,
    )


def _cost(known_micros: int, unknown: int) -> str:
    """The known sum; where nothing at all is known, that."""
    return "unknown" if unknown and not known_micros else _dollars(known_micros)


def _dollars(micros: int) -> str:
    return f"{usd(micros):.4f}"
