"""From the ledger to the usage table: nothing twice, nothing lost, never the prompt."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import pytest

from tasks.core.clock import Clock
from tasks.core.configuration.sections import UsageSettings
from tasks.core.configuration.settings import load_settings
from tasks.core.configuration.trust import TRUST_VARIABLE
from tasks.core.errors import InputError, JobError, UsageError
from tasks.core.identity import hash_prompt
from tasks.core.records import JobState
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.journal import Journal
from tasks.ledger.queries import count_jobs
from tasks.ledger.usage import count_usage, mark_pushed, read_usage_pages
from tasks.usage.push import PushReport, push_folders, push_usage
from tasks.usage.query import UsageQuery
from tasks.usage.report import read_groups
from tests.support.factories import START_US, make_job, open_batch_with
from tests.support.forked_process import start_python
from tests.support.query_plans import explaining
from tests.tasks.usage.ledgers import EVERYTHING, keep, make_row, push, rows_in, write_batch


def sink_in(folder: Path) -> UsageSettings:
    """The embedded sink in a folder of the test's."""
    return UsageSettings(path=str(folder / "usage.db"))


async def generate_and_push(out: Path, settings: UsageSettings, jobs: int = 3) -> PushReport:
    """A batch of sketches, pushed."""
    async with open_batch_with(out, [make_job(number) for number in range(jobs)]) as batch:
        await generate_range(batch, 0, jobs)
        return await push_usage(batch.engine, settings, out=out, clock=Clock())


async def test_every_picture_becomes_one_row(out: Path, tmp_path: Path) -> None:
    """With its hash and seed; the prompt is nowhere in the database."""
    report = await generate_and_push(out, sink_in(tmp_path))
    assert report == PushReport(out=str(out), pushed=3, pending=0)
    rows = await rows_in(sink_in(tmp_path))
    assert {row.prompt_hash for row in rows} == {hash_prompt(make_job(number).prompt) for number in range(3)}
    for file in tmp_path.glob("usage.db*"):
        assert b"a picture of number" not in file.read_bytes()


async def test_a_push_whose_answer_was_lost_adds_nothing(out: Path, tmp_path: Path) -> None:
    """Killed between the sink's commit and the ledger's, the same rows are pushed again and change nothing."""
    settings = sink_in(tmp_path)
    await generate_and_push(out, settings)
    with sqlite3.connect(out / "ledger.db") as db:
        db.execute("UPDATE attempts SET usage_pushed_at_us = NULL")
    db.close()
    async with open_batch_with(out, [make_job(number) for number in range(3)]) as batch:
        report = await push_usage(batch.engine, settings, out=out, clock=Clock())
    assert report == PushReport(out=str(out), pushed=3, pending=0)
    assert len(await rows_in(settings)) == 3


async def test_the_same_job_paid_in_two_folders_is_two_rows(tmp_path: Path) -> None:
    """A job is its content: the same manifest in another output folder costs again, and the table says so."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        await generate_and_push(tmp_path / name, sink_in(tmp_path))
    assert len(await rows_in(sink_in(tmp_path))) == 6


async def test_a_sink_that_fails_keeps_the_rows_pending(out: Path, tmp_path: Path) -> None:
    """A broken sink is a warning, and the next push delivers everything."""
    blocked = UsageSettings(path=str(tmp_path / "file" / "usage.db"))
    (tmp_path / "file").write_text("a file where a folder should be")
    report = await generate_and_push(out, blocked)
    assert (report.pushed, report.pending) == (0, 3)
    assert report.warning is not None
    assert report.warning.endswith(f"imagen usage push {out}")
    async with open_batch_with(out, [make_job(number) for number in range(3)]) as batch:
        again = await push_usage(batch.engine, sink_in(tmp_path), out=out, clock=Clock())
    assert (again.pushed, again.pending) == (3, 0)


async def test_the_command_of_a_warning_can_be_copied(tmp_path: Path) -> None:
    """Also for a folder with a space in its name."""
    await write_batch(tmp_path / "my batch", 1)
    report = await push(tmp_path / "my batch", UsageSettings(path="~no-such-user/usage.db"))
    assert (report.warning or "").endswith(f"imagen usage push '{tmp_path}/my batch'")


async def test_a_home_that_nobody_has_keeps_the_rows_pending(out: Path) -> None:
    """The pictures are made by then: a path that cannot be spelled out is a warning like any other."""
    report = await generate_and_push(out, UsageSettings(path="~no-such-user/usage.db"))
    assert (report.pushed, report.pending) == (0, 3)
    assert report.warning is not None
    assert "usage.path" in report.warning


async def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    """Not a traceback of the database driver."""
    (tmp_path / "usage.db").write_bytes(b"something else entirely, and not short either" * 30)
    with pytest.raises(UsageError, match=r"usage\.path"):
        await keep([make_row(1)], sink_in(tmp_path))


async def test_none_keeps_nothing(out: Path) -> None:
    """Without a sink the rows stay pending, and reading gives nothing."""
    report = await generate_and_push(out, UsageSettings(sink="none"))
    assert (report.pushed, report.pending) == (0, 3)
    assert await read_groups(UsageSettings(sink="none"), EVERYTHING) == []


async def test_a_row_carries_the_caller_of_the_run_that_paid(out: Path, tmp_path: Path) -> None:
    """Whoever pushes, and however late: each picture is on the account of the run in which its attempt began."""
    await write_batch(out, 9, callers=["ann", "bob", "cy"])
    await push(out, sink_in(tmp_path))
    groups = await read_groups(sink_in(tmp_path), EVERYTHING)
    assert sorted((group.key[2], group.images) for group in groups) == [("ann", 3), ("bob", 3), ("cy", 3)]


async def test_a_push_needs_no_lock_and_leaves_the_run_alone(out: Path, tmp_path: Path) -> None:
    """Beside a living run it pushes what is done, and the run goes on to its end."""
    jobs = [make_job(number) for number in range(6)]
    async with open_batch_with(out, jobs) as batch:
        await generate_range(batch, 0, 2)
        beside = await push(out, sink_in(tmp_path))
        await generate_range(batch, 3, 5)
        after = await push_usage(batch.engine, sink_in(tmp_path), out=out, clock=Clock())
    assert (beside.pushed, beside.pending) == (3, 0)
    assert (after.pushed, after.pending) == (6, 0)
    assert len(await rows_in(sink_in(tmp_path))) == 6


async def test_every_batch_under_a_folder_is_pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each to the sink of its own last run where no configuration is given; a broken one is reported, not in the way."""
    monkeypatch.setenv(TRUST_VARIABLE, "true")
    sinks = [sink_in(tmp_path / name) for name in ("one", "two")]
    await write_batch(tmp_path / "runs/a", 2, usage=sinks[0])
    await write_batch(tmp_path / "runs/deep/b", 3, usage=sinks[1])
    (tmp_path / "runs/broken").mkdir()
    (tmp_path / "runs/broken/ledger.db").write_bytes(b"not a database at all" * 100)
    reports = [report async for report in push_folders(str(tmp_path / "runs"), None)]
    assert [(Path(report.out).name, report.pushed, report.warning is None) for report in reports] == [
        ("a", 2, True),
        ("broken", None, False),
        ("b", 3, True),
    ]
    assert [len(await rows_in(sink)) for sink in sinks] == [2, 3]


async def test_a_given_configuration_says_where_to(tmp_path: Path) -> None:
    """A sink that was set up wrong is mended in the configuration, and the push goes there."""
    await write_batch(tmp_path / "out", 2, usage=UsageSettings(sink="none"))
    config = tmp_path / "imagen.yaml"
    config.write_text(f"usage: {{path: {tmp_path / 'usage.db'}}}\n")
    [report] = [report async for report in push_folders(str(tmp_path / "out"), load_settings(config))]
    assert (report.pushed, report.pending) == (2, 0)
    assert len(await rows_in(sink_in(tmp_path))) == 2


async def test_a_folder_without_a_batch_is_one_clear_error(tmp_path: Path) -> None:
    """Nothing was there to push: that is a mistake, not a success."""
    with pytest.raises(InputError, match="holds no batch"):
        _ = [report async for report in push_folders(str(tmp_path), None)]


async def end_attempt(out: Path, number: int, state: JobState, cost_micros: int | None, *, ended_us: int) -> None:
    """End the job's first attempt, as the engine writes it."""
    job = make_job(number)
    async with open_ledger(out) as engine:
        journal, error = Journal(engine), JobError("no image", cost_micros=cost_micros)
        await journal.record_end_without_image(job, number=1, state=state, error=error, latency_ms=5, now_us=ended_us)
        await journal.close()


async def test_attempts_that_may_have_been_billed_without_an_image_are_rows_too(out: Path, tmp_path: Path) -> None:
    """The sum of the table is the bill: what failed for nothing has no row, what cost or may have cost has one."""
    settings = sink_in(tmp_path)
    await write_batch(out, 4)
    for number, (state, cost) in enumerate([(JobState.FAILED, 0), (JobState.FAILED, 2_000), (JobState.HELD, None)]):
        await end_attempt(out, number, state, cost, ended_us=START_US + 1)
    report = await push(out, settings)
    assert (report.pushed, report.pending) == (3, 0)
    rows = {row.seed: (row.status, row.cost_micros) for row in await rows_in(settings)}
    assert sorted(rows.values(), key=str) == [("failed", 2_000), ("held", None), ("succeeded", 3_000)]
    async with open_ledger(out) as engine:
        counts = await count_jobs(engine)
    [total] = await read_groups(settings, UsageQuery(by=("caller",)))
    assert (total.cost_micros, total.cost_unknown) == (counts.cost_micros, counts.cost_unknown)
    assert {row.batch.rpartition("-")[0] for row in await rows_in(settings)} == {out.name}


async def test_a_row_follows_an_attempt_that_is_settled_later(out: Path, tmp_path: Path) -> None:
    """What was held, and is found to have cost nothing, costs nothing in the table too: one row, replaced."""
    settings = sink_in(tmp_path)
    await write_batch(out, 1)
    await end_attempt(out, 0, JobState.HELD, None, ended_us=START_US + 1)
    assert (await push(out, settings)).pushed == 1
    await end_attempt(out, 0, JobState.FAILED, 0, ended_us=START_US + 2)
    async with open_ledger(out) as engine:
        assert await count_usage(engine) == (0, 1)
    assert (await push(out, settings)).pending == 0
    [row] = await rows_in(settings)
    assert (row.status, row.cost_micros) == ("failed", 0)


async def test_an_attempt_that_ends_anew_while_it_is_pushed_stays_pending(out: Path) -> None:
    """Only the end that the sink has is marked as pushed."""
    await write_batch(out, 1)
    await end_attempt(out, 0, JobState.HELD, None, ended_us=START_US + 1)
    async with open_ledger(out) as engine:
        page = await anext(read_usage_pages(engine, 10))
        await end_attempt(out, 0, JobState.FAILED, 2_000, ended_us=START_US + 2)
        await mark_pushed(engine, page, now_us=START_US + 3)
        assert await count_usage(engine) == (0, 1)


async def test_a_file_of_an_older_version_gets_the_new_columns(tmp_path: Path) -> None:
    """Its rows stay, as images of no named batch."""
    with sqlite3.connect(tmp_path / "usage.db") as db:
        db.execute(
            "CREATE TABLE imagen_usage (id VARCHAR(36) PRIMARY KEY, created_at VARCHAR(32) NOT NULL, backend TEXT NOT NULL,"
            " model TEXT NOT NULL, seed BIGINT, prompt_hash TEXT NOT NULL, latency_ms BIGINT,"
            " cost_usd_estimate NUMERIC(12, 6), caller TEXT NOT NULL)"
        )
        db.execute(
            "INSERT INTO imagen_usage VALUES ('00000000-0000-0000-0000-000000000000', '2026-11-24T00:00:00.000000+00:00',"
            " 'b', 'm', 1, 'h', 2, 0.003, 'c')"
        )
    db.close()
    await keep([make_row(0, status="held", batch="b-1")], sink_in(tmp_path))
    rows = await rows_in(sink_in(tmp_path))
    assert sorted((row.status, row.batch) for row in rows) == [("held", "b-1"), ("succeeded", "")]


def test_first_runs_at_once_share_a_new_file(tmp_path: Path) -> None:
    """Processes that all find no file make one table, and each keeps its row."""
    code = (
        "import asyncio, sys; from pathlib import Path; from tests.tasks.usage.ledgers import keep, make_row; "
        "from tasks.core.configuration.settings import UsageSettings; "
        "asyncio.run(keep([make_row(int(sys.argv[2]))], UsageSettings(path=sys.argv[1])))"
    )
    path, pipe = tmp_path / "new" / "usage.db", subprocess.PIPE
    started = [start_python(code, path, str(number), stderr=pipe) for number in range(4)]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 4
    with sqlite3.connect(tmp_path / "new" / "usage.db") as db:
        assert db.execute("SELECT count(*) FROM imagen_usage").fetchone() == (4,)
    db.close()


async def test_rows_that_were_pushed_before_are_not_read_again(out: Path, tmp_path: Path) -> None:
    """Of a year's attempts a page looks only at those that the index has as pending."""
    await write_batch(out, 1_200)
    async with open_ledger(out) as engine:
        with explaining(engine) as asked:
            await push_usage(engine, sink_in(tmp_path), out=out, clock=Clock())
    plans = [" ".join(each.steps) for each in asked if each.statement.startswith("SELECT attempts.job_id")]
    # Three pages; before and after them a list of what is pending, and one for each other kind of end.
    lists = [plan for plan in plans if "attempts_usage (state=? AND usage_pushed_at_us=?)" in plan]
    assert (len(lists), len(plans)) == (3, 6)
    assert not [plan for plan in plans if "SCAN attempts" in plan]
    assert all("attempts_1 (job_id=?" in plan for plan in plans if plan not in lists)
