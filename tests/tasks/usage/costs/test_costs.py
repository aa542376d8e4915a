"""The report of costs: two months held against each other, a forecast that says what it stands on, and nothing twice."""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import ImagenError, UsageError
from tasks.usage.costs.build import build_report
from tasks.usage.costs.forecast import PlannedDays
from tasks.usage.costs.months import Months
from tasks.usage.costs.page import render_page
from tasks.usage.costs.screen import format_csv, format_report
from tests.tasks.usage.ledgers import keep, make_row, push, write_batch

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NASTY = '<script>alert("x")</script>\u202e\x1b[31m'


def at(day: str) -> int:
    """Noon of a day, as rows have it."""
    return round(datetime.fromisoformat(f"{day}T12:00+00:00").timestamp() * 1e6)


@pytest.fixture
def settings(tmp_path: Path, time_zone: Callable[[str], None]) -> UsageSettings:
    """A usage file of this test's own, on a machine in UTC."""
    time_zone("UTC")
    return UsageSettings(path=str(tmp_path / "usage.db"))


async def report(settings: UsageSettings, *folders: Path, planned: PlannedDays | None = None) -> dict[str, Any]:
    """The report at noon of 26 November."""
    return await build_report(settings, [str(it) for it in folders], now=NOW, find_planned=lambda _: planned)


@pytest.mark.parametrize(
    ("now", "zone", "expected"),
    [
        ("2026-11-26T12:00+00:00", "UTC", ("2026-11-01", "2026-10-01", "2026-12-01", "2026-10-27")),
        ("2026-03-31T23:30+00:00", "UTC", ("2026-03-01", "2026-02-01", "2026-04-01", "2026-03-01")),
        ("2026-01-01T00:10+00:00", "UTC", ("2026-01-01", "2025-12-01", "2026-02-01", "2025-12-02")),
        ("2026-10-31T23:30+00:00", "Europe/Berlin", ("2026-11-01", "2026-10-01", "2026-12-01", "2026-10-02")),
    ],
)
def test_months_are_those_of_the_calendar(
    now: str, zone: str, expected: tuple[str, ...], time_zone: Callable[[str], None]
) -> None:
    """Of the machine's zone; a month that is shorter is compared whole, and January with December."""
    time_zone(zone)
    months = Months(datetime.fromisoformat(now))
    found = (months.first, months.first_before, months.end, months.same_days_end)
    assert tuple(day.isoformat() for day in found) == expected


async def test_two_months_are_held_against_each_other(settings: UsageSettings) -> None:
    """Totals, the same days, each key and CSV come from the same rows; an unknown cost is never 0."""
    await keep(
        [
            make_row(
                0, created_at_us=at("2026-11-03"), model="a", batch="b-1", deployment="nightly", cost_micros=40_000
            ),
            make_row(2, created_at_us=at("2026-11-26"), model="a", cost_micros=60_000, status="failed"),
            make_row(4, created_at_us=at("2026-10-26"), model="b", cost_micros=50_000),
            make_row(6, created_at_us=at("2026-10-27"), model="b", cost_micros=70_000),
            make_row(7, created_at_us=at("2026-11-04"), model="c", cost_micros=None),
            make_row(8, created_at_us=at("2026-09-30"), cost_micros=990_000),
        ],
        settings,
    )
    found = await report(settings)
    assert [found[name]["cost_usd"] for name in ("this_month", "same_days_before", "whole_month_before")] == [
        0.1,
        0.05,
        0.12,
    ]
    assert (found["change_usd"], found["this_month"]["failed_usd"], found["this_month"]["cost_unknown"]) == (
        0.05,
        0.06,
        1,
    )
    assert found["this_machine_only"]
    assert [(it["name"], it["cost_usd"], it["month_before"]["cost_usd"]) for it in found["by_model"]] == [
        ("a", 0.1, 0.0),
        ("b", 0.0, 0.12),
        ("c", None, 0.0),
    ]
    assert [it["name"] for it in found["by_deployment"]] == ["", "nightly"]
    lines = list(csv.DictReader(io.StringIO(format_csv(found))))
    for key in ("batch", "deployment", "model", "caller", "day"):
        assert sum(float(it["cost_usd"] or 0) for it in lines if it["by"] == key) == pytest.approx(0.1)
    # A folder's path is as long as it is.
    assert max(len(line) for line in format_report(found) if str(settings.database) not in line) < 80


PLANNED = PlannedDays(server="http://x/api", days={"nightly": [date(2026, 11, day) for day in (27, 28, 29, 30)]})


@pytest.mark.parametrize(
    ("planned", "basis", "expected_usd"),
    [
        # 14 days of use: 0.10 a night on every second day, 0.01 for the rest each day; 4.5 days are left.
        (None, "last days", 4.5 * (0.7 + 0.14) / 14),
        (PLANNED, "schedules", 4 * 0.1 + 4.5 * 0.01),
        (PlannedDays(server="http://x/api", days={}), "last days", 4.5 * (0.7 + 0.14) / 14),
        (PlannedDays(server="http://x/api", days={"new": [date(2026, 11, 27)]}), "last days", 4.5 * (0.7 + 0.14) / 14),
    ],
)
async def test_the_forecast_says_what_it_stands_on(
    planned: PlannedDays | None, basis: str, expected_usd: float, settings: UsageSettings
) -> None:
    """Schedules where a server has some of deployments with costs, else the last two weeks."""
    days = [(NOW - timedelta(days=back)).date().isoformat() for back in range(1, 15)]
    nights = [
        make_row(2 * number, created_at_us=at(day), deployment="nightly", cost_micros=100_000)
        for number, day in enumerate(days[::2])
    ]
    others = [make_row(100 + 2 * number, created_at_us=at(day), cost_micros=10_000) for number, day in enumerate(days)]
    await keep([*nights, *others], settings)
    forecast = (await report(settings, planned=planned))["forecast"]
    assert forecast["basis"] == basis
    assert forecast["expected_usd"] == pytest.approx(expected_usd, abs=1e-5)
    assert forecast["month_end_usd"] == pytest.approx(forecast["spent_usd"] + expected_usd, abs=1e-5)


async def write_reviewed_batch(folder: Path, begin_us: int) -> str:
    """A batch of four attempts at a cent each, one of them refused and two images picked; gives its identity."""
    await write_batch(folder, 4)
    with sqlite3.connect(folder / "ledger.db") as db:
        db.execute("UPDATE attempts SET ended_at_us = ?, cost_micros = 10000", (begin_us,))
        db.execute("UPDATE jobs SET completed_at_us = ?", (begin_us,))
        db.execute("UPDATE attempts SET state = 'failed', error_kind = 'moderation' WHERE rowid = 1")
        db.execute("INSERT INTO verdicts SELECT job_id, 1, 'ann', 'pick', NULL, NULL FROM jobs LIMIT 2")
        [(identity,)] = db.execute("SELECT batch FROM batch_identity").fetchall()
    db.close()
    return str(identity)


async def test_ledgers_tell_what_is_kept_and_why_it_failed(tmp_path: Path, settings: UsageSettings) -> None:
    """Of this machine's batches; another's failures have no reason, and a damaged ledger is named and hides none."""
    begin = at("2026-11-20")
    identity = await write_reviewed_batch(tmp_path / "runs/a", begin)
    (tmp_path / "runs/broken").mkdir()
    (tmp_path / "runs/broken/ledger.db").write_bytes(b"rubbish" * 99)
    failed = {"status": "failed", "created_at_us": begin}
    await keep(
        [
            make_row(0, batch=f"a-{identity[:8]}", cost_micros=10_000, **failed),
            make_row(2, batch="far-1", cost_micros=30_000, **failed),
        ],
        settings,
    )
    found = await report(settings, tmp_path / "runs")
    assert [(it["batch"], it["kind"], it["cost_usd"]) for it in found["failures"]] == [
        ("far-1", "failed", 0.03),
        (f"a-{identity[:8]}", "moderation", 0.01),
    ]
    assert (found["kept"]["kept"], found["kept"]["cost_usd"], found["kept"]["usd_per_kept_image"]) == (2, 0.04, 0.02)
    assert ["broken" in line for line in found["skipped"]] == [True]


async def test_a_batch_counts_once_wherever_its_folder_lies(tmp_path: Path, settings: UsageSettings) -> None:
    """A copy adds nothing and is named; after a renaming its failures are not told a second time by their usage rows."""
    await write_reviewed_batch(tmp_path / "runs/a", at("2026-11-20"))
    await push(tmp_path / "runs/a", settings)
    shutil.copytree(tmp_path / "runs/a", tmp_path / "runs/b")
    copied = await report(settings, tmp_path / "runs")
    assert (copied["kept"]["batches"], copied["kept"]["cost_usd"], len(copied["failures"])) == (1, 0.04, 1)
    assert [line.partition(": ")[2] for line in copied["skipped"]] == [
        f"a copy of the batch in {tmp_path / 'runs/a'}, whose costs count once"
    ]
    shutil.rmtree(tmp_path / "runs/b")
    (tmp_path / "runs/a").rename(tmp_path / "runs/new")
    renamed = await report(settings, tmp_path / "runs")
    assert [it["kind"] for it in renamed["failures"]] == ["moderation"]


async def test_a_failure_names_the_model_that_was_paid(tmp_path: Path, settings: UsageSettings) -> None:
    """The job may have gone on to another backend, whose model cost nothing of it."""
    await write_batch(tmp_path / "a", 1)
    with sqlite3.connect(tmp_path / "a/ledger.db") as db:
        db.execute("UPDATE jobs SET backend = 'other', model = 'innocent'")
        db.execute(
            "UPDATE runs SET settings = json_set(settings, '$.backends', json(?))",
            ('{"sketch": {"type": "sketch", "model": "guilty"}}',),
        )
        db.execute("UPDATE attempts SET ended_at_us = ?, state = 'failed', error_kind = 'server'", (at("2026-11-20"),))
    db.close()
    assert [it["model"] for it in (await report(settings, tmp_path))["failures"]] == ["guilty"]


async def test_the_answers_of_judges_are_no_failures(settings: UsageSettings) -> None:
    """They cost something, and the report neither lists them among the failures, nor as money without an image."""
    row = make_row(0, created_at_us=at("2026-11-03"), status="judge_succeeded", batch="far-1", cost_micros=2_000)
    await keep([row], settings)
    found = await report(settings)
    assert (found["this_month"]["cost_usd"], found["this_month"]["failed_usd"], found["failures"]) == (0.002, 0.0, [])
    assert "2026-11-03 Tue        $0.002" in "\n".join(format_report(found))


async def test_a_folder_without_a_batch_is_told(tmp_path: Path, settings: UsageSettings) -> None:
    """A mistyped one would read as a folder in which nothing was reviewed."""
    assert (await report(settings, tmp_path / "rusn"))["skipped"] == [f"{tmp_path / 'rusn'}: no batch is there"]


@pytest.mark.parametrize("change", ["cost_usd_estimate = 'much'", "cost_usd_estimate = 1e300", "latency_ms = 'long'"])
async def test_a_value_that_cannot_be_is_not_added_up(change: str, settings: UsageSettings) -> None:
    """A text among the costs is no 0: another program's row is an error that says how to find it."""
    await keep([make_row(0, created_at_us=at("2026-11-03"))], settings)
    with sqlite3.connect(str(settings.path)) as db:
        db.execute(f"UPDATE imagen_usage SET {change}")
    db.close()
    with pytest.raises(UsageError, match="no run writes"):
        await report(settings)


async def test_days_of_another_clock_cover_no_day(settings: UsageSettings) -> None:
    """A row of a machine that is in the next month already is added to the plot, and takes no other's place."""
    rows = [make_row(0, created_at_us=at("2026-11-01")), make_row(2, created_at_us=at("2026-12-01"))]
    await keep(rows, settings)
    assert "<title>1: $0.006</title>" in render_page(await report(settings))


async def test_names_are_text_wherever_they_are_shown(settings: UsageSettings) -> None:
    """A model, a batch and a caller of a stranger make neither markup, nor a terminal's command; the page loads nothing."""
    await keep(
        [make_row(0, created_at_us=at("2026-11-03"), model=NASTY, batch=NASTY, caller=NASTY, status="failed")], settings
    )
    page = render_page(await report(settings))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "default-src 'none'" in page
    await keep([make_row(2, created_at_us=at("2026-11-03"), caller="=cmd|' /C calc'!A0")], settings)
    assert "caller,'=cmd" in format_csv(await report(settings))
    assert "http" not in page.partition("</head>")[2].replace("http-equiv", "")


async def test_without_usage_and_without_a_server_there_is_a_report(settings: UsageSettings) -> None:
    """An empty table, a table that is not kept, and a server that does not answer are each told in words."""

    def fail(_: date) -> PlannedDays:
        raise ImagenError("the server is away")

    found = await build_report(settings, [], now=NOW, find_planned=fail)
    assert (found["forecast"]["basis"], found["forecast"]["server"]) == ("nothing", "the server is away")
    assert "No usage" in "\n".join(format_report(found))
    assert "svg" in render_page(found)
    kept = await report(UsageSettings(sink="none"))
    assert "not kept" in kept["sees"]
