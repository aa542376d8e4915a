"""States on disk: in order, grouped, and there before the money is spent."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tasks.core import retry
from tasks.core.errors import BatchStopped, JobError
from tasks.core.records import Job, JobState, Prediction, StoredImage
from tasks.ledger.open_jobs import find_open_jobs
from tasks.ledger.queries import count_jobs
from tests.support.factories import START_US, make_job, open_batch_with
from tests.tasks.ledger.conftest import on_disk

PREDICTION = Prediction(prediction_id="p1", model_version="v1", cost_micros=3_000, cost_source="priced")
IMAGE = StoredImage(file_name="images/aa/x.png", width=32, height=32, format="png", bytes=10, sha256="0" * 64)


async def test_the_intent_is_on_disk_when_submitting_returns(out: Path) -> None:
    """A paid call leaves only after its intent can survive the process."""
    async with open_batch_with(out, [make_job()]) as batch:
        await batch.journal.record_intent(make_job(), number=1, reserved_micros=3_000, now_us=START_US)
        assert await on_disk(out, "SELECT state, attempts FROM jobs") == [("submitting", 1)]
        assert await on_disk(out, "SELECT state, reserved_micros FROM attempts") == [("submitting", 3_000)]


async def test_a_commit_under_way_is_waited_for_too(out: Path) -> None:
    """What is noted is on disk when the journal closes, also when its group is being written just then."""
    job = make_job()
    async with open_batch_with(out, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
        batch.journal.record_submitted(job, number=1, prediction=PREDICTION, retries=0, now_us=START_US)
        while batch.journal._changes._groups._collected is not None:
            await asyncio.sleep(0)
        await batch.journal.close()
        assert await on_disk(out, "SELECT state, prediction_id FROM jobs") == [("submitted", "p1")]


async def test_a_whole_life_leaves_every_fact(out: Path) -> None:
    """Submitting, submitted and succeeded are written in this order, also when one commit holds them all."""
    job = make_job()
    async with open_batch_with(out, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
        batch.journal.record_submitted(job, number=1, prediction=PREDICTION, retries=2, now_us=START_US + 1)
        await batch.journal.record_success(
            job, number=1, prediction=PREDICTION, image=IMAGE, latency_ms=70, now_us=START_US + 2
        )
        assert await on_disk(
            out, "SELECT state, prediction_id, model_version, file_name, cost_micros, latency_ms, error_kind FROM jobs"
        ) == [("succeeded", "p1", "v1", "images/aa/x.png", 3_000, 70, None)]
        assert await on_disk(out, "SELECT state, submit_retries, submitted_at_us, ended_at_us FROM attempts") == [
            ("succeeded", 2, START_US + 1, START_US + 2)
        ]


async def test_the_cost_of_a_job_is_that_of_all_its_attempts(out: Path) -> None:
    """Failed attempts that cost money count; an unknown one makes the job's cost unknown."""
    known, unknown = make_job(0), make_job(1)
    async with open_batch_with(out, [known, unknown]) as batch:
        for job, first_cost in ((known, 1_000), (unknown, None)):
            await batch.journal.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
            error = JobError("no", cost_micros=first_cost)
            await batch.journal.record_failed_attempt(job, number=1, error=error, latency_ms=5, now_us=START_US)
            await batch.journal.record_intent(job, number=2, reserved_micros=3_000, now_us=START_US)
            await batch.journal.record_success(
                job, number=2, prediction=PREDICTION, image=IMAGE, latency_ms=5, now_us=START_US
            )
        assert await on_disk(out, "SELECT cost_micros FROM jobs ORDER BY position") == [(4_000,), (None,)]
        counts = await count_jobs(batch.engine)
        assert (counts.cost_micros, counts.cost_unknown) == (7_000, 1)


async def test_any_words_of_a_provider_can_be_kept(out: Path) -> None:
    """NUL and half a surrogate pair are what PostgreSQL refuses: they must not keep the jobs beside from their ends."""
    job = make_job()
    async with open_batch_with(out, [job]) as batch:
        await batch.journal.record_end_without_image(
            job, number=None, state=JobState.FAILED, error=JobError("a\0b\ud800c"), latency_ms=5, now_us=START_US
        )
        assert await on_disk(out, "SELECT state, error_message FROM jobs") == [("failed", "ab?c")]


async def test_a_failed_attempt_leaves_the_job_open(out: Path) -> None:
    """Killed between two attempts, a job is simply planned."""
    job = make_job()
    async with open_batch_with(out, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=None, now_us=START_US)
        await batch.journal.record_failed_attempt(job, number=1, error=JobError("no"), latency_ms=5, now_us=START_US)
        [entry] = await find_open_jobs(batch.engine, 0, 10)
        assert (entry.state, entry.attempts, entry.prediction) == (JobState.PLANNED, 1, None)


async def test_many_changes_share_few_commits(out: Path) -> None:
    """A hundred intents at once cost a handful of transactions, not a hundred."""
    jobs = [make_job(number) for number in range(100)]
    async with open_batch_with(out, jobs) as batch:
        commits: list[object] = []
        writer: Any = batch.journal._changes._writer
        writes_through = getattr(writer.engine, "sync_engine", writer.engine)
        event.listen(writes_through, "commit", commits.append)

        async def intend(job: Job) -> None:
            await batch.journal.record_intent(job, number=1, reserved_micros=None, now_us=START_US)

        await asyncio.gather(*(intend(job) for job in jobs))
        assert await on_disk(out, "SELECT count(*) FROM attempts") == [(100,)]
        assert len(commits) <= 5


ODD_VALUES: dict[str, Any] = {
    "a dictionary": {"a": 1},
    "a list": ["p1"],
    "half a surrogate pair": "p\ud800",
    "NUL": "p\x00",
    "a number no column holds": 10**30,
}


@pytest.mark.parametrize("odd", ODD_VALUES.values(), ids=ODD_VALUES)
async def test_a_value_that_no_database_takes_harms_no_other_job(odd: Any, out: Path) -> None:
    """An odd version or count in one prediction: its job and those written with it all reach the disk."""
    jobs = [make_job(number) for number in range(3)]
    async with open_batch_with(out, jobs) as batch:
        for job in jobs:
            await batch.journal.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
        ends = [
            batch.journal.record_success(
                job,
                number=1,
                prediction=replace(PREDICTION, model_version=odd, cost_micros=odd) if job is jobs[0] else PREDICTION,
                image=IMAGE,
                latency_ms=5,
                now_us=START_US,
            )
            for job in jobs
        ]
        await asyncio.gather(*ends)
        assert await on_disk(out, "SELECT state, count(*) FROM jobs GROUP BY state") == [("succeeded", 3)]


async def test_rows_that_the_database_refuses_end_their_own_job_only(out: Path) -> None:
    """A file name of the wrong kind refuses the group: the job hears of it, and the others of the group are written."""
    jobs = [make_job(number) for number in range(3)]
    async with open_batch_with(out, jobs) as batch:
        for job in jobs:
            await batch.journal.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
        broken = replace(IMAGE, sha256=None)  # type: ignore[arg-type]  # as a damaged caller would
        if batch.engine.dialect.name == "sqlite":
            async with batch.engine.begin() as db:
                await db.exec_driver_sql(
                    "CREATE TRIGGER refuse BEFORE UPDATE ON jobs WHEN NEW.state = 'succeeded' AND NEW.sha256 IS NULL "
                    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )
        else:
            async with batch.engine.begin() as db:
                await db.exec_driver_sql("ALTER TABLE jobs ADD CHECK (state <> 'succeeded' OR sha256 IS NOT NULL)")
        ends = [
            batch.journal.record_success(
                job,
                number=1,
                prediction=PREDICTION,
                image=broken if job is jobs[0] else IMAGE,
                latency_ms=5,
                now_us=START_US,
            )
            for job in jobs
        ]
        results = await asyncio.gather(*ends, return_exceptions=True)
        if batch.engine.dialect.name == "sqlite":
            async with batch.engine.begin() as db:
                await db.exec_driver_sql("DROP TRIGGER refuse")  # a ledger that has one is not opened
        assert [getattr(result, "error_kind", None) for result in results] == ["unrecorded", None, None]
        assert await on_disk(out, "SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state") == [
            ("submitting", 1),
            ("succeeded", 2),
        ]


async def test_an_id_survives_a_group_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program locks the ledger for too long an id becomes known: it is on disk when the lock is gone."""
    monkeypatch.setattr(retry, "LEDGER_PATIENCE_S", 0.0)
    job = make_job()
    async with open_batch_with(tmp_path, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
        writer: Any = batch.journal._changes._writer
        event.listen(writer.engine, "begin", lambda db: db.exec_driver_sql("PRAGMA busy_timeout = 10"))
        with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            batch.journal.record_submitted(job, number=1, prediction=PREDICTION, retries=0, now_us=START_US)
            with pytest.raises(
                BatchStopped, match=r"Another program holds ledger.db \(database is locked\). Close it there"
            ):
                await batch.journal.record_success(
                    job, number=1, prediction=PREDICTION, image=IMAGE, latency_ms=70, now_us=START_US
                )
            other.execute("ROLLBACK")
        other.close()
    assert await on_disk(tmp_path, "SELECT prediction_id FROM attempts") == [("p1",)]
