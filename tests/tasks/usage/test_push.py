"""From the ledger to the usage table: nothing twice, nothing lost, never the prompt."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.clock import Clock
from tasks.errors import InputError, UsageError
from tasks.generate import generate_range
from tasks.identity import prompt_hash
from tasks.settings import UsageSettings
from tasks.usage.push import PushReport, push_usage
from tasks.usage.report import group_table, parse_since, raw_table, read_groups, read_rows
from tasks.usage.rows import UsageRow, usage_id
from tasks.usage.sinks import UsageGroup, open_sink
from tests.making import START_US, batch_of, make_job

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def sink_in(folder: Path) -> UsageSettings:
    """The embedded sink in a folder of the test's."""
    return UsageSettings(path=str(folder / "usage.db"))


async def generate_and_push(out: Path, settings: UsageSettings, jobs: int = 3) -> PushReport:
    """A batch of sketches, pushed."""
    async with batch_of(out, [make_job(number) for number in range(jobs)]) as batch:
        await generate_range(batch, 0, jobs)
        return await push_usage(batch.engine, settings, caller="tester", clock=Clock())


async def test_every_picture_becomes_one_row(out: Path, tmp_path: Path) -> None:
    """With its hash, seed and caller; the prompt is nowhere in the database."""
    report = await generate_and_push(out, sink_in(tmp_path))
    assert report == PushReport(pushed=3, pending=0)
    rows = await read_rows(sink_in(tmp_path), None)
    assert {row.prompt_hash for row in rows} == {prompt_hash(make_job(number).prompt) for number in range(3)}
    assert {row.caller for row in rows} == {"tester"}
    for file in tmp_path.glob("usage.db*"):
        assert b"a picture of number" not in file.read_bytes()


async def test_a_push_whose_answer_was_lost_adds_nothing(out: Path, tmp_path: Path) -> None:
    """Killed between the sink's commit and the ledger's, the same rows are pushed again and change nothing."""
    settings = sink_in(tmp_path)
    await generate_and_push(out, settings)
    with sqlite3.connect(out / "ledger.db") as db:
        db.execute("UPDATE attempts SET usage_pushed_at_us = NULL")
    db.close()
    async with batch_of(out, [make_job(number) for number in range(3)]) as batch:
        report = await push_usage(batch.engine, settings, caller="tester", clock=Clock())
    assert report == PushReport(pushed=3, pending=0)
    assert len(await read_rows(settings, None)) == 3


async def test_a_sink_that_fails_keeps_the_rows_pending(out: Path, tmp_path: Path) -> None:
    """A broken sink is a warning, and the next push delivers everything."""
    blocked = UsageSettings(path=str(tmp_path / "file" / "usage.db"))
    (tmp_path / "file").write_text("a file where a folder should be")
    report = await generate_and_push(out, blocked)
    assert (report.pushed, report.pending) == (0, 3)
    assert report.warning is not None
    assert "pending" in report.warning
    async with batch_of(out, [make_job(number) for number in range(3)]) as batch:
        again = await push_usage(batch.engine, sink_in(tmp_path), caller="tester", clock=Clock())
    assert (again.pushed, again.pending) == (3, 0)


async def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    """Not a traceback of the database driver."""
    (tmp_path / "usage.db").write_bytes(b"something else entirely, and not short either" * 30)
    with pytest.raises(UsageError, match=r"usage\.path"):
        async with open_sink(sink_in(tmp_path)):
            pass


async def test_none_keeps_nothing(out: Path) -> None:
    """Without a sink the rows stay pending, and reading gives nothing."""
    report = await generate_and_push(out, UsageSettings(sink="none"))
    assert (report.pushed, report.pending) == (0, 3)
    assert await read_groups(UsageSettings(sink="none"), None) == []


async def test_since_cuts_at_the_instant(tmp_path: Path) -> None:
    """Rows from the instant on, to the microsecond."""
    settings = sink_in(tmp_path)
    async with open_sink(settings) as sink:
        assert sink is not None
        await sink.push([usage_row(number) for number in range(4)])
    start = datetime.fromtimestamp((START_US + 2_000_000) / 1e6, tz=UTC)
    assert [row.seed for row in await read_rows(settings, start)] == [3, 2]
    assert [row.seed for row in await read_rows(settings, start + timedelta(microseconds=1))] == [3]
    [group] = await read_groups(settings, start)
    assert (group.images, group.cost_micros, group.cost_unknown) == (2, 3_000, 1)


def usage_row(number: int) -> UsageRow:
    """A row a second after the last; each odd one has an unknown cost."""
    return UsageRow(
        id=usage_id(str(number), 1),
        created_at_us=START_US + number * 1_000_000,
        backend="flux",
        model="m",
        seed=number,
        prompt_hash=prompt_hash("x"),
        latency_ms=1_000,
        cost_micros=None if number % 2 else 3_000,
        caller="tester",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("12h", NOW - timedelta(hours=12)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2026-11-20T10:00:00+02:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
    ],
)
def test_since_takes_dates_and_ages(text: str, expected: datetime) -> None:
    """The forms that the help names."""
    assert parse_since(text, now=NOW) == expected


def test_since_takes_a_plain_date_as_local_midnight() -> None:
    """A person's `2026-11-24` begins where that person's day begins."""
    assert parse_since("2026-11-24", now=NOW) == datetime(2026, 11, 24).astimezone(UTC)


def test_a_wrong_date_says_what_is_right() -> None:
    """Exit status 2 and the accepted forms."""
    with pytest.raises(InputError, match="7d, 12h or 30m"):
        parse_since("last tuesday", now=NOW)


def test_unknown_costs_are_shown_as_unknown() -> None:
    """Never as nothing: the column says unknown, and the totals count them."""
    known = UsageGroup(backend="a", model="m", caller="c", images=2, cost_micros=6_000, cost_unknown=0, latency_ms=10)
    unknown = UsageGroup(backend="b", model="", caller="c", images=3, cost_micros=0, cost_unknown=3, latency_ms=None)
    lines = group_table([known, unknown]).splitlines()
    assert lines[1].split() == ["a", "m", "c", "2", "0.0060", "0", "10"]
    assert lines[2].split() == ["b", "-", "c", "3", "unknown", "3"]
    assert lines[3].split() == ["total", "5", "0.0060", "3"]
    assert lines[0].index("images") + len("images") == lines[1].index(" 2") + 2
    assert "unknown" in raw_table([usage_row(1)])


def test_an_empty_table_is_still_a_table() -> None:
    """Nobody generated anything yet: headers and zero totals."""
    assert group_table([]).splitlines()[1].split() == ["total", "0", "0.0000", "0"]
