"""`imagen show`: everything that a batch knows about one image, its attempts with their money among it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import to_instant
from tasks.core.money import format_usd, to_usd
from tasks.core.safe_text import escape_control_characters
from tasks.ledger.lookup import find_job, get_attempts
from tasks.metadata.columns import build_plain_row
from tasks.plan.reroll import list_rerolls
from tasks.store.output import Output

INDENT = " " * 18


async def read_record(engine: AsyncEngine, out: Output, wanted: str) -> dict[str, Any]:
    """The record of one image: the table's columns, where the file is, and every attempt.

    Raises:
        InputError: Nothing or several things are called so.
    """
    row = await find_job(engine, out, wanted)
    return {
        **build_plain_row(row),
        # The other batch is found by its whole path alone; reference images are named as in every table.
        "reused_from": row["reused_from"],
        # A relative name would be true in the folder only.
        "path": None if row["file_name"] is None else f"{out}/{row['file_name']}",
        "in_manifest": not row["withdrawn"],
        # The other way stands in `extra`: what a reroll came from.
        "rerolled_as": ", ".join(await list_rerolls(engine, row["job_id"])) or None,
        "attempt_list": [_build_attempt(attempt) for attempt in await get_attempts(engine, row["job_id"])],
    }


def parse_extra(record: dict[str, Any]) -> dict[str, Any]:
    """The manifest's other columns of a record."""
    extra: dict[str, Any] = json.loads(record["extra"])
    return extra


def _build_attempt(row: RowMapping) -> dict[str, Any]:
    return {
        "number": row["number"],
        "state": row["state"],
        "backend": row["backend"],
        "prediction_id": row["prediction_id"],
        **{name: _to_iso(row[f"{name}_us"]) for name in ("started_at", "submitted_at", "ended_at")},
        "latency_ms": row["latency_ms"],
        "predict_time_s": row["predict_time_s"],
        "submit_retries": row["submit_retries"],
        "reserved_usd": to_usd(row["reserved_micros"]),
        "cost_usd": to_usd(row["cost_micros"]),
        "cost_source": row["cost_source"],
        "error_kind": row["error_kind"],
        "error_message": row["error_message"],
    }


def format_record(record: dict[str, Any]) -> list[str]:
    """The record for people: what is not known is left out."""
    apart = {"attempt_list", "in_manifest", "path", "file_name"}
    # Empty, or unknown, or without anything in it: none of it says anything.
    facts = [(name, value) for name, value in record.items() if name not in apart and value not in {None, "", "{}"}]
    file = record["path"] or "no image"
    return [
        file,
        *(_format_fact(name, value) for name, value in facts),
        *([] if record["in_manifest"] else ["not in the manifest any more"]),
        *_format_attempts(record["attempt_list"]),
    ]


def _format_fact(name: str, value: Any) -> str:
    # A prompt keeps its own lines, under each other.
    text = (
        format_usd(value)
        if name == "cost_usd"
        # A prompt of several lines keeps them, under the first one.
        else f"\n{INDENT}".join(map(escape_control_characters, str(value).split("\n")))
    )
    return f"{name:<{len(INDENT)}}{text}"


def _format_attempts(attempts: Sequence[dict[str, Any]]) -> list[str]:
    return [line for attempt in attempts for line in _format_attempt(attempt)]


def _format_attempt(attempt: dict[str, Any]) -> list[str]:
    cost = "cost unknown" if attempt["cost_usd"] is None else format_usd(attempt["cost_usd"])
    if attempt["ended_at"] is None:
        # A job in flight has no cost yet, only what was set aside for it.
        cost = "cost open" if attempt["reserved_usd"] is None else f"{format_usd(attempt['reserved_usd'])} set aside"
    parts = [attempt["started_at"], attempt["state"], cost]
    if attempt["latency_ms"] is not None:
        parts.append(f"{attempt['latency_ms']} ms")
    if attempt["prediction_id"]:
        parts.append(attempt["prediction_id"])
    error = f"{attempt['error_kind']}: {attempt['error_message']}" if attempt["error_kind"] else ""
    number = f"attempt {attempt['number']}"
    return [
        f"{number:<{len(INDENT)}}{escape_control_characters('  '.join(parts))}",
        *([f"{INDENT}{escape_control_characters(error)}"] if error else []),
    ]


def _to_iso(us: int | None) -> str | None:
    return None if us is None else to_instant(us).isoformat(timespec="milliseconds")
