"""What people and programs are shown of the usage table."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

from tasks.core.configuration.sections import UsageSettings
from tasks.usage.groups import UsageGroup, add_up
from tasks.usage.query import UsageQuery
from tasks.usage.report import Form, format_group_table, format_raw_table, read_groups, render_groups, render_rows
from tasks.usage.rows import UsageRow
from tests.support.factories import START_US
from tests.tasks.usage.ledgers import keep, make_row, rows_in

BY = ("backend", "model", "caller")
KNOWN = UsageGroup(key=("a", "m", "c"), images=2, failures=1, cost_micros=6_000, cost_unknown=0, latency_ms=10)
UNKNOWN = UsageGroup(key=("b", "", "c"), images=3, cost_micros=0, cost_unknown=3, latency_ms=None)
PARTLY = UsageGroup(key=("d", "m", "c"), images=3, cost_micros=0, cost_unknown=2, latency_ms=1)


async def filled(folder: Path) -> UsageSettings:
    """An embedded sink with four rows, two of unknown cost, of two callers."""
    settings = UsageSettings(path=str(folder / "usage.db"))
    await keep([make_row(number, caller="ann" if number < 3 else "bob") for number in range(4)], settings)
    return settings


async def text(settings: UsageSettings, query: UsageQuery, form: Form, *, raw: bool = False) -> str:
    """All that is printed."""
    return "\n".join([line async for line in (render_rows if raw else render_groups)(settings, query, form)])


async def test_windows_cut_at_the_instant(tmp_path: Path) -> None:
    """From an instant on, to the microsecond; up to one that does not count."""
    settings, start = await filled(tmp_path), datetime.fromtimestamp((START_US + 2_000_000) / 1e6, tz=UTC)
    moment = timedelta(microseconds=1)
    for query, seeds in [
        (UsageQuery(since=start), [3, 2]),
        (UsageQuery(since=start + moment), [3]),
        (UsageQuery(until=start), [1, 0]),
        (UsageQuery(until=start + moment), [2, 1, 0]),
    ]:
        assert [row.seed for row in await rows_in(settings, query)] == seeds
        assert sum(group.images for group in await read_groups(settings, query)) == len(seeds)


async def test_groups_by_any_keys(tmp_path: Path) -> None:
    """By one key or several, in the order given; a day is one of the machine's time zone."""
    settings = await filled(tmp_path)
    by_caller = await read_groups(settings, UsageQuery(by=("caller",)))
    assert [(group.key, group.images, group.cost_micros) for group in by_caller] == [
        (("ann",), 3, 6_000),
        (("bob",), 1, 0),
    ]
    day = f"{datetime.fromtimestamp(START_US / 1e6, tz=UTC).astimezone():%Y-%m-%d}"
    [both] = await read_groups(settings, UsageQuery(by=("day", "model")))
    assert (both.key, both.images) == ((day, "m"), 4)


async def test_json_has_groups_and_a_total(tmp_path: Path) -> None:
    """A cost of which nothing is known is null, never 0, and unknown ones are counted."""
    settings = await filled(tmp_path)
    record = json.loads(await text(settings, UsageQuery(by=("caller",)), "json"))
    assert record["groups"][1] == {
        "caller": "bob", "images": 1, "cost_usd": None, "cost_unknown": 1, "latency_ms": 1_000, "failures": 0
    }  # fmt: skip
    assert record["total"] == {"images": 4, "cost_usd": 0.006, "cost_unknown": 2, "failures": 0}
    rows = json.loads(await text(settings, UsageQuery(), "json", raw=True))
    assert [(row["seed"], row["cost_usd_estimate"]) for row in rows] == [(3, None), (2, 0.003), (1, None), (0, 0.003)]


async def test_csv_leaves_an_unknown_cost_empty(tmp_path: Path) -> None:
    """So that no sum takes it for 0."""
    settings = await filled(tmp_path)
    groups = list(csv.DictReader((await text(settings, UsageQuery(by=("caller",)), "csv")).splitlines()))
    assert [(group["caller"], group["cost_usd"]) for group in groups] == [("ann", "0.006"), ("bob", "")]
    rows = list(csv.DictReader((await text(settings, UsageQuery(), "csv", raw=True)).splitlines()))
    assert [row["cost_usd_estimate"] for row in rows] == ["", "0.003", "", "0.003"]


async def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path) -> None:
    """A name that a spreadsheet would take for one begins with an apostrophe, and one with line ends stays one cell."""
    settings, name = UsageSettings(path=str(tmp_path / "usage.db")), "=HYPERLINK(A1)\r\nx"
    await keep([make_row(0, caller=name, model="@m", seed=-1, batch="\tb\r")], settings)
    for query, raw in ((UsageQuery(by=("caller", "model", "batch")), False), (UsageQuery(), True)):
        [row] = csv.DictReader(StringIO(await text(settings, query, "csv", raw=raw), newline=""))
        assert (row["caller"], row["model"], row["batch"]) == (f"'{name}", "'@m", "'\tb\r")
        assert row.get("seed", "-1") == "-1"


def test_unknown_costs_are_shown_as_unknown() -> None:
    """Never as nothing: the column says unknown, and the totals count them."""
    lines = format_group_table([KNOWN, UNKNOWN, PARTLY], BY).splitlines()
    assert lines[1].split() == ["a", "m", "c", "2", "1", "0.0060", "0", "10"]
    assert lines[2].split() == ["b", "-", "c", "3", "0", "unknown", "3"]
    assert lines[3].split() == ["d", "m", "c", "3", "0", "0.0000", "2", "1"]
    assert lines[4].split() == ["total", "8", "1", "0.0060", "5"]
    assert lines[0].index("images") + len("images") == lines[1].index(" 2") + 2
    assert format_group_table([UNKNOWN], BY).splitlines()[2].split() == ["total", "3", "0", "unknown", "3"]
    assert format_raw_table([make_row(1)]).splitlines()[2].split() == ["total", "1", "unknown"]
    assert format_raw_table([make_row(1), make_row(2)]).splitlines()[3].split()[2:] == ["0.0030", "and", "1", "unknown"]


def test_an_empty_table_is_still_a_table() -> None:
    """Nobody generated anything yet: headers and zero totals."""
    assert format_group_table([], BY).splitlines()[1].split() == ["total", "0", "0", "0.0000", "0"]


async def test_days_are_local_in_the_database_and_here(tmp_path: Path, time_zone: Callable[[str], None]) -> None:
    """Rows around a local midnight fall into two days, and the table names the zone."""
    settings = UsageSettings(path=str(tmp_path / "usage.db"))
    midnight = datetime(2026, 11, 25, tzinfo=ZoneInfo("Asia/Kathmandu"))
    rows = [make_row(n, created_at_us=round((midnight + timedelta(seconds=n - 2)).timestamp() * 1e6)) for n in range(4)]
    await keep(rows, settings)
    time_zone("Asia/Kathmandu")
    days = await read_groups(settings, UsageQuery(by=("day",)))
    assert sorted((group.key, group.images) for group in days) == [(("2026-11-24",), 2), (("2026-11-25",), 2)]
    [month] = await read_groups(settings, UsageQuery(by=("month",)))
    assert (month.key, month.images) == (("2026-11",), 4)

    async def stream() -> AsyncIterator[UsageRow]:
        for row in rows:
            yield row

    assert await add_up(stream(), ("day",)) == days
    assert "UTC+05:45" in await text(settings, UsageQuery(by=("day",)), "table")
    assert "UTC+05:45" in await text(settings, UsageQuery(), "table", raw=True)


async def test_failures_are_counted_apart_and_paid_for_all_the_same(tmp_path: Path) -> None:
    """They are no images, their cost is in the sums, and their time is in no mean."""
    settings = UsageSettings(path=str(tmp_path / "usage.db"))
    failures = [make_row(2, status="failed", latency_ms=9), make_row(3, status="held", latency_ms=9)]
    await keep([make_row(0), make_row(1), *failures], settings)
    [group] = await read_groups(settings, UsageQuery(by=("model",)))
    assert (group.images, group.failures, group.cost_micros, group.cost_unknown) == (2, 2, 6_000, 2)
    assert group.latency_ms == 1_000
    by_status = await read_groups(settings, UsageQuery(by=("status",)))
    assert {group.key[0]: (group.images, group.failures) for group in by_status} == {
        "succeeded": (2, 0), "failed": (0, 1), "held": (0, 1)
    }  # fmt: skip


async def test_an_answered_judge_is_no_failure(tmp_path: Path) -> None:
    """Its call is paid for and is no image, but nothing was lost with it; one that failed is counted as such."""
    settings = UsageSettings(path=str(tmp_path / "usage.db"))
    calls = [make_row(2, status="judge_succeeded"), make_row(4, status="judge_failed")]
    await keep([make_row(0), *calls], settings)
    [group] = await read_groups(settings, UsageQuery(by=("backend",)))
    assert (group.images, group.failures, group.answers, group.cost_micros) == (1, 1, 1, 9_000)

    async def stream() -> AsyncIterator[UsageRow]:
        for row in await rows_in(settings):
            yield row

    assert await add_up(stream(), ("backend",)) == [group]
    unknown = [UsageGroup(key=("a", "m", "c"), images=0, answers=1, cost_micros=0, cost_unknown=1, latency_ms=None)]
    assert "unknown" in format_group_table(unknown, BY).splitlines()[1]
