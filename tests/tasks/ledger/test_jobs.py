"""Plans in the ledger: only the difference is new."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import InputError, JobError
from tasks.core.records import EndedFilter, Job, JobState, Prediction, StoredImage
from tasks.ledger import queries
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tasks.ledger.jobs import SERIES_WIDTH, get_known_states, reopen
from tasks.ledger.journal import Journal
from tasks.ledger.open_jobs import EVERYTHING, Selection, count_open, find_open_jobs, list_shards
from tasks.ledger.queries import count_jobs, read_job_pages
from tasks.ledger.runs import RunStart, begin_run, record_plan
from tasks.runs.reopen import reroute
from tests.support.factories import START_US, make_job, plan_jobs

IMAGE = StoredImage(file_name="images/aa/x.png", width=32, height=32, format="png", bytes=10, sha256="0" * 64)


async def finish(engine: AsyncEngine, job: Job) -> None:
    """Let a job succeed."""
    journal = Journal(engine)
    await journal.record_intent(job, number=1, reserved_micros=0, now_us=START_US)
    prediction = Prediction(prediction_id="p", cost_micros=0)
    await journal.record_success(job, number=1, prediction=prediction, image=IMAGE, latency_ms=1, now_us=START_US)


async def order(engine: AsyncEngine) -> list[str]:
    """Row ids in the order of the metadata table."""
    return [row["id"] async for page in read_job_pages(engine) for row in page]


async def test_a_longer_manifest_adds_only_what_is_new(out: Path) -> None:
    """Jobs that are done stay done when the manifest grows or is reordered."""
    first, second, third = make_job(0), make_job(1), make_job(2)
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [first, second])
        await finish(engine, second)
        moved = make_job(1, position=0)
        await plan_jobs(engine, [moved, make_job(2, position=1), make_job(0, position=2)], run=2)
        assert await order(engine) == ["row-1", "row-2", "row-0"]
        assert [entry.job.id for entry in await find_open_jobs(engine, 0, 10)] == ["row-2", "row-0"]
        assert await get_known_states(engine, [first.job_id, second.job_id, third.job_id]) == {
            first.job_id: JobState.PLANNED,
            second.job_id: JobState.SUCCEEDED,
            third.job_id: JobState.PLANNED,
        }


async def test_a_row_that_is_gone_is_withdrawn_and_can_come_back(out: Path) -> None:
    """It is no longer generated, counted or listed; when it returns, what was done is still done."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(0), make_job(1)])
        await finish(engine, make_job(1))
        await plan_jobs(engine, [make_job(0)], run=2)
        assert await order(engine) == ["row-0"]
        assert (await count_jobs(engine)).total == 1
        await plan_jobs(engine, [make_job(0), make_job(1)], run=3)
        assert (await count_jobs(engine)).succeeded == 1


async def test_a_paid_prediction_is_collected_though_its_row_is_gone(out: Path) -> None:
    """What is in flight may have been paid for: it stays open until it has landed, and is listed no more."""
    job = make_job(0)
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [job])
        await Journal(engine).record_intent(job, number=1, reserved_micros=0, now_us=START_US)
        await plan_jobs(engine, [make_job(1)], run=2)
        assert await count_open(engine, EVERYTHING) == 2
        assert await order(engine) == ["row-1"]


async def test_a_part_of_a_manifest_withdraws_nothing(out: Path) -> None:
    """A run with a limit says nothing about the rows behind it."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(0), make_job(1)])
        await plan_jobs(engine, [make_job(0)], run=2, whole=False)
        assert await order(engine) == ["row-0", "row-1"]


async def test_jobs_that_share_a_place_are_all_listed(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row put before the others and a run of the first two: the second of the old ones stands where the first came to."""
    monkeypatch.setattr(queries, "PAGE_ROWS", 2)
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(number) for number in range(3)])
        await plan_jobs(engine, [make_job(9, position=0), make_job(0, position=1)], run=2, whole=False)
        assert sorted(await order(engine)) == ["row-0", "row-1", "row-2", "row-9"]
        async with engine.begin() as db:
            await db.execute(update(jobs).values(planned_run=3))
        await reroute(engine, 3, "sketch", Settings(backends={"sketch": BackendSettings(type="sketch", model="new")}))
        assert [row["model"] async for page in read_job_pages(engine) for row in page] == ["new"] * 4


async def test_another_salt_is_added_behind(out: Path) -> None:
    """The second night's pictures stand after the first's, and neither withdraws the other."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(0), make_job(1)], salt="monday")
        await plan_jobs(engine, [make_job(10, position=0)], run=2, salt="tuesday")
        await plan_jobs(engine, [make_job(0), make_job(1)], run=3, salt="monday")
        assert await order(engine) == ["row-0", "row-1", "row-10"]
        [last] = await find_open_jobs(engine, SERIES_WIDTH, 2 * SERIES_WIDTH)
        assert last.job.position == SERIES_WIDTH


async def begin(engine: AsyncEngine, manifest: str | None) -> int:
    """Record the start of a run, with a manifest or as a resume."""
    start = RunStart(
        manifest=manifest, salt=None, budget_micros=None, settings=Settings().model_dump_json(), caller="me"
    )
    number = await begin_run(engine, start, now_us=START_US)
    if manifest is not None:
        await record_plan(engine, number, "")
    return number


@pytest.mark.parametrize(("salt", "whole"), [("tuesday", True), ("monday", False)])
async def test_a_resume_sends_what_the_last_manifest_wanted(out: Path, salt: str, whole: bool) -> None:  # noqa: FBT001  a case
    """Rows of an earlier salt, or behind a limit of a replaced manifest, are counted as unwanted and never sent."""
    async with open_ledger(out, create=True) as engine:
        first = await begin(engine, "prompts.csv")
        await plan_jobs(engine, [make_job(number) for number in range(4)], run=first, salt="monday")
        second = await begin(engine, "replaced.csv")
        await plan_jobs(engine, [make_job(9, position=0)], run=second, salt=salt, whole=whole)
        await begin(engine, None)
        found = await find_open_jobs(engine, 0, 2 * SERIES_WIDTH)
        assert [entry.job.id for entry in found] == ["row-9"]
        assert await count_open(engine, EVERYTHING) == 1
        assert (await count_jobs(engine)).unwanted == 4


async def test_a_run_that_is_killed_while_it_plans_takes_nothing_away(out: Path) -> None:
    """A resume goes on with the plan before it, and with what the killed run had planned already."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(0), make_job(1)], run=await begin(engine, "prompts.csv"))
        start = RunStart(manifest="longer.csv", salt=None, budget_micros=None, settings="{}", caller="me")
        killed = await begin_run(engine, start, now_us=START_US)
        await plan_jobs(engine, [make_job(0), make_job(2)], run=killed, whole=False)
        assert await count_open(engine, EVERYTHING) == 3
        assert (await count_jobs(engine)).unwanted == 0


async def test_what_is_in_flight_of_an_earlier_plan_is_collected_and_not_sent_again(out: Path) -> None:
    """It may have been paid for; another attempt would be for a row that nobody wants."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(0)], run=await begin(engine, "prompts.csv"), salt="monday")
        await Journal(engine).record_intent(make_job(0), number=1, reserved_micros=0, now_us=START_US)
        await plan_jobs(engine, [make_job(1)], run=await begin(engine, "prompts.csv"), salt="tuesday")
        found = {entry.job.id: entry.withdrawn for entry in await find_open_jobs(engine, 0, 2 * SERIES_WIDTH)}
        assert found == {"row-0": True, "row-1": False}


async def test_failed_jobs_of_an_earlier_plan_stay_failed(out: Path) -> None:
    """`--retry-failed` pays for nothing that the last manifest does not want."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(0)], run=await begin(engine, "prompts.csv"), salt="monday")
        await Journal(engine).record_end_without_image(
            make_job(0), number=None, state=JobState.FAILED, error=JobError("no"), latency_ms=0, now_us=START_US
        )
        await plan_jobs(engine, [make_job(1)], run=await begin(engine, "prompts.csv"), salt="tuesday")
        assert await reopen(engine, EndedFilter(frozenset({JobState.FAILED}))) == 0


async def test_failed_jobs_open_again_only_when_asked(out: Path) -> None:
    """The user decides; held ones are a decision of their own."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(0), make_job(1)])
        journal = Journal(engine)
        for job, state in ((make_job(0), JobState.FAILED), (make_job(1), JobState.HELD)):
            await journal.record_end_without_image(
                job, number=None, state=state, error=JobError("no"), latency_ms=0, now_us=START_US
            )
        assert await count_open(engine, EVERYTHING) == 0
        assert await reopen(engine, EndedFilter(frozenset({JobState.FAILED}))) == 1
        assert [entry.job.id for entry in await find_open_jobs(engine, 0, 10)] == ["row-0"]


async def test_shards_cover_every_open_job_once(out: Path) -> None:
    """Ranges are in order, do not overlap, and keep the limit."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job(number) for number in range(25)])
        await finish(engine, make_job(3))
        cut = [shard async for shard in list_shards(engine, 10, EVERYTHING)]
        assert [(shard.number, shard.jobs) for shard in cut] == [(1, 10), (2, 10), (3, 4)]
        covered = [
            entry.job.position for shard in cut for entry in await find_open_jobs(engine, shard.first, shard.last)
        ]
        assert covered == [number for number in range(25) if number != 3]
        assert sum([shard.jobs async for shard in list_shards(engine, 10, Selection(limit=12))]) == 12


@pytest.mark.parametrize("content", [None, b"this is not a database, and long enough to be sure of it"])
async def test_a_folder_without_our_ledger_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A clear message instead of a database error, and nothing is made."""
    if content is not None:
        (tmp_path / "ledger.db").write_bytes(content)
    with pytest.raises(InputError, match="ledger"):
        async with open_ledger(tmp_path):
            pass
    assert (tmp_path / "ledger.db").exists() == (content is not None)
