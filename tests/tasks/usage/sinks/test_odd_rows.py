"""Rows that no run writes, in a table that somebody else can write to: one clear error, and no bill that is wrong."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import UsageAway, UsageError
from tasks.core.retry import retry_usage
from tasks.usage.query import UsageQuery
from tasks.usage.rows import parse_row
from tasks.usage.sinks import open_sink
from tests.support.factories import FakeClock
from tests.support.raw_server import http, raw_server
from tests.tasks.usage.ledgers import keep, make_row

ROW: dict[str, Any] = {
    **dict.fromkeys(("id", "backend", "model", "prompt_hash", "caller"), "x"),
    "created_at": "2026-11-20T10:00:00+00:00",
    "seed": 1,
    "latency_ms": 5,
    "cost_usd_estimate": 0.01,
}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("created_at", "yesterday"),
        ("created_at", None),
        ("created_at", "0001-01-01T00:00:00+00:00"),
        ("cost_usd_estimate", "much"),
        ("cost_usd_estimate", float("nan")),
        ("cost_usd_estimate", 1e30),
        ("latency_ms", "long"),
        ("latency_ms", 10**30),
        ("model", {"a": 1}),
        ("status", None),
    ],
)
def test_a_row_that_cannot_be_is_named(column: str, value: Any) -> None:
    """The row and the column, so that it can be corrected."""
    assert parse_row(ROW).cost_micros == 10_000
    with pytest.raises(UsageError, match=f"x: {column}: "):
        parse_row({**ROW, column: value})


async def read(url: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Count the rows that a server behind the sink gives."""
    monkeypatch.setenv("SUPABASE_URL", url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "k")
    async with open_sink(UsageSettings(sink="supabase"), retrying=retry_usage(FakeClock().sleep)) as sink:
        assert sink is not None
        return len([row async for row in sink.rows(UsageQuery())])


@pytest.mark.parametrize("body", ["", "{", "null", '{"a": 1}', "[null]", "[" * 100_000, f"[{'9' * 100_000}]"])
async def test_an_answer_without_rows_is_no_empty_table(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again, and then told; an empty bill would be believed."""
    async with raw_server(http("200 OK", body, Content_Range="*/*")) as server:
        with pytest.raises(UsageAway, match="holds no rows"):
            await read(server.url, monkeypatch)


async def test_a_server_that_takes_no_filters_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same page again and again would be a bill without an end."""
    async with raw_server(http("200 OK", json.dumps([ROW]), Content_Range="0-0/*")) as server:
        with pytest.raises(UsageError, match="the same rows again"):
            await read(server.url, monkeypatch)


@pytest.mark.parametrize("change", ["cost_usd_estimate = 9e999", "created_at = 'yesterday'"])
async def test_a_file_with_an_odd_value_is_told(change: str, tmp_path: Path) -> None:
    """Added up by the database, and read row by row."""
    settings = UsageSettings(path=str(tmp_path / "usage.db"))
    await keep([make_row(1)], settings)
    with closing(sqlite3.connect(tmp_path / "usage.db")) as db, db:
        db.execute(f"UPDATE imagen_usage SET {change}")
    async with open_sink(settings, retrying=retry_usage(FakeClock().sleep)) as sink:
        assert sink is not None
        with pytest.raises(UsageError):
            await sink.groups(UsageQuery(by=("day",)))
        with pytest.raises(UsageError):
            [row async for row in sink.rows(UsageQuery())]
