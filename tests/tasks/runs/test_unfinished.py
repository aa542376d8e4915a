"""Which batches a failed night leaves behind, and which of them are gone on with."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.caps.cap import CapSettings
from tasks.core.clock import Clock
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.paths import get_ledger_path
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import PostgresqlSchema, make_schema_name
from tasks.ledger.database.schema import runs
from tasks.ledger.database.transactions import execute
from tasks.ledger.journal import Journal
from tasks.ledger.runs import RunStart, begin_run, end_run
from tasks.runs.request import RunRequest
from tasks.runs.run import open_run
from tasks.runs.unfinished import UNREADABLE, ResumeRule, Unfinished, find_unfinished_batches
from tasks.store.output import parse_output
from tests.support.factories import make_job, plan_jobs
from tests.support.services.object_storage import BUCKET
from tests.support.services.postgresql import PASSWORD, Postgresql

RULE = ResumeRule(tries=2, within=timedelta(days=2), interrupted=False)
DAY_US = 24 * 3600 * 1_000_000
NOW_US = 100 * DAY_US


async def batch(out: Path, *outcomes: str | None, age_days: int = 0) -> None:
    """A batch whose first run had a manifest and the others none, and that ended like this."""
    out.mkdir(parents=True)
    async with open_ledger(out, create=True) as engine:
        for number, outcome in enumerate(outcomes):
            start = RunStart(
                manifest=None if number else "m.yaml",
                salt=None,
                budget_micros=None,
                settings=Settings().model_dump_json(),
                caller="test",
            )
            run = await begin_run(engine, start, now_us=NOW_US - age_days * DAY_US)
            if outcome is not None:
                await end_run(engine, run, outcome, now_us=NOW_US)


async def found(folder: Path, rule: ResumeRule = RULE) -> list[Unfinished]:
    """What is to be gone on with, or not."""
    return [each async for each in find_unfinished_batches(str(folder), rule, now_us=NOW_US)]


@pytest.mark.parametrize(
    ("outcome", "why"),
    [(None, "killed"), ("stopped: the budget", "stopped: the budget"), ("completed", None), ("interrupted", None)],
)
async def test_stopped_and_killed_batches_are_unfinished(tmp_path: Path, outcome: str | None, why: str | None) -> None:
    """A person who interrupts a batch meant it; one that came to its end is done."""
    await batch(tmp_path / "a/b", outcome)
    assert [(each.out, each.why) for each in await found(tmp_path)] == ([(str(tmp_path / "a/b"), why)] if why else [])


async def test_interrupted_batches_are_if_so_wished(tmp_path: Path) -> None:
    """Where the machine is shut down at night, that is no person's wish; a run that was cancelled is left alone."""
    await batch(tmp_path / "a", "interrupted")
    await batch(tmp_path / "b", "cancelled")
    rule = ResumeRule(tries=2, within=timedelta(days=2), interrupted=True)
    assert [each.why for each in await found(tmp_path, rule)] == ["interrupted"]


@pytest.mark.usefixtures("rclone")
async def test_a_ledger_on_another_machine_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With output in a bucket the bucket is listed; a batch that this machine cannot resume is not taken for none."""
    place = parse_output(f"s3://{BUCKET}/elsewhere-{tmp_path.name}/night")
    place.home.mkdir(parents=True)
    get_ledger_path(place.home).touch()
    place.claim(first=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    [each] = [each async for each in find_unfinished_batches(str(place), RULE, now_us=NOW_US)]
    assert (each.out, each.why) == (str(place), UNREADABLE)
    assert "ledger is on" in (each.left_alone or "")


async def test_a_living_run_is_passed_over(tmp_path: Path) -> None:
    """Whoever holds the folder's lock is at work, whatever the ledger says."""
    (tmp_path / "m.txt").write_text("a fox\n")
    request = RunRequest(out=str(tmp_path / "out"), manifest=str(tmp_path / "m.txt"))
    async with open_run(request, clock=Clock(now_us=lambda: NOW_US)):
        # The lock is the process's own, so another one has to look.
        code = (
            "import asyncio, sys\n"
            "from datetime import timedelta\n"
            "from tasks.runs.unfinished import ResumeRule, find_unfinished_batches\n"
            "async def look():\n"
            "    rule = ResumeRule(tries=2, within=timedelta(days=2), interrupted=False)\n"
            f"    print([each async for each in find_unfinished_batches(sys.argv[1], rule, now_us={NOW_US})])\n"
            "asyncio.run(look())"
        )
        looking = await asyncio.create_subprocess_exec(sys.executable, "-c", code, tmp_path, stdout=-1)
        assert (await looking.communicate())[0] == b"[]\n"


async def test_a_run_on_another_machine_is_passed_over(
    out: Path, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's lock is this machine's; that of a ledger on PostgreSQL is everybody's."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    place = PostgresqlSchema(out=out, url=postgresql.url(), schema=make_schema_name(out))
    start = RunStart(manifest="m.yaml", salt=None, budget_micros=None, settings="{}", caller="test")
    async with open_ledger(place, create=True, alone=True) as engine:
        await begin_run(engine, start, now_us=NOW_US)
        assert await found(out) == []
    assert [each.why for each in await found(out)] == ["killed"]


async def test_a_batch_is_gone_on_with_a_bounded_number_of_times(tmp_path: Path) -> None:
    """Then it is left to people, and said so."""
    await batch(tmp_path / "once", None, "stopped: x")
    await batch(tmp_path / "twice", None, "stopped: x", "stopped: x")
    assert [each.left_alone for each in await found(tmp_path)] == [None, "resumed 2 times already"]


async def test_old_batches_stay_as_they_are(tmp_path: Path) -> None:
    """What was given up long ago is not paid for by surprise."""
    await batch(tmp_path / "old", None, age_days=3)
    await batch(tmp_path / "new", None, age_days=1)
    assert [Path(each.out).name for each in await found(tmp_path)] == ["new"]


async def test_a_ledger_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    """It is said, and the others are gone on with."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/ledger.db").write_text("not a database, and long enough to be looked at as one " * 20)
    await batch(tmp_path / "good", None)
    assert [(Path(each.out).name, each.left_alone is None) for each in await found(tmp_path)] == [
        ("bad", False),
        ("good", True),
    ]


async def test_a_batch_that_a_cap_stopped_goes_on_when_the_cap_frees(tmp_path: Path) -> None:
    """Until then it waits, for a month if need be, and its stops at the cap are no tries; a raised cap ends the wait."""
    await batch(tmp_path / "a", "completed", age_days=30)
    caps = [CapSettings(usd=0, per="month")]
    settings = Settings(caps=caps)
    async with open_ledger(tmp_path / "a") as engine:
        for _ in range(4):
            start = RunStart(
                manifest=None, salt=None, budget_micros=None, settings=settings.model_dump_json(), caller="test"
            )
            run = await begin_run(engine, start, now_us=NOW_US - 20 * DAY_US)
            await end_run(engine, run, "stopped: the cap", now_us=NOW_US, frees_at_us=NOW_US + DAY_US)
        await record_reservation(engine)
    [waiting] = await found(tmp_path)
    assert waiting.left_alone == "waits for its cap until 1970-04-12 00:00 UTC"
    later = [each async for each in find_unfinished_batches(str(tmp_path), RULE, now_us=NOW_US + DAY_US)]
    assert [each.left_alone for each in later] == [None]
    # The last run's settings are all that a batch without a configuration file has.
    async with open_ledger(tmp_path / "a") as engine:
        raised = Settings(caps=[CapSettings(usd=1, per="month")]).model_dump_json()
        await execute(engine, update(runs).values(settings=raised))
    [freed] = await found(tmp_path)
    assert freed.left_alone is None
    # A full cap of a backend that the rest of the batch does not use is no reason to wait.
    async with open_ledger(tmp_path / "a") as engine:
        backends = {name: BackendSettings(type="sketch") for name in ("sketch", "elsewhere")}
        other = Settings(backends=backends, caps=[CapSettings(images=0, per="month", backend="elsewhere")])
        await execute(engine, update(runs).values(settings=other.model_dump_json()))
    [freed] = await found(tmp_path)
    assert freed.left_alone is None


async def record_reservation(engine: AsyncEngine) -> None:
    """An attempt that had a cent reserved."""
    journal = Journal(engine)
    await plan_jobs(engine, [make_job(0)])
    await journal.record_intent(make_job(0), number=1, reserved_micros=10_000, now_us=NOW_US)
    await journal.close()
