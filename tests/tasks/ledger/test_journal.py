"""States on disk: in order, grouped, and there before the money is spent."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import event

from tasks.core.errors import JobError
from tasks.core.records import Job, JobState, Prediction, StoredImage
from tasks.ledger.open_jobs import find_open_jobs
from tasks.ledger.queries import count_jobs
from tests.support.factories import START_US, batch_of, make_job
from tests.tasks.ledger.conftest import on_disk

PREDICTION = Prediction(prediction_id="p1", model_version="v1", cost_micros=3_000, cost_source="priced")
IMAGE = StoredImage(file_name="images/aa/x.png", width=32, height=32, format="png", bytes=10, sha256="0" * 64)


async def test_the_intent_is_on_disk_when_submitting_returns(out: Path) -> None:
    """A paid call leaves only after its intent can survive the process."""
    async with batch_of(out, [make_job()]) as batch:
        await batch.journal.submitting(make_job(), number=1, reserved_micros=3_000, now_us=START_US)
        assert await on_disk(out, "SELECT state, attempts FROM jobs") == [("submitting", 1)]
        assert await on_disk(out, "SELECT state, reserved_micros FROM attempts") == [("submitting", 3_000)]


async def test_a_commit_under_way_is_waited_for_too(out: Path) -> None:
    """What is noted is on disk when the journal closes, also when its group is being written just then."""
    job = make_job()
    async with batch_of(out, [job]) as batch:
        await batch.journal.submitting(job, number=1, reserved_micros=3_000, now_us=START_US)
        batch.journal.submitted(job, number=1, prediction=PREDICTION, retries=0, now_us=START_US)
        while batch.journal._committed is not None:
            await asyncio.sleep(0)
        await batch.journal.close()
        assert await on_disk(out, "SELECT state, prediction_id FROM jobs") == [("submitted", "p1")]


async def test_a_whole_life_leaves_every_fact(out: Path) -> None:
    """Submitting, submitted and succeeded are written in this order, also when one commit holds them all."""
    job = make_job()
    async with batch_of(out, [job]) as batch:
        await batch.journal.submitting(job, number=1, reserved_micros=3_000, now_us=START_US)
        batch.journal.submitted(job, number=1, prediction=PREDICTION, retries=2, now_us=START_US + 1)
        await batch.journal.succeeded(
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
    async with batch_of(out, [known, unknown]) as batch:
        for job, first_cost in ((known, 1_000), (unknown, None)):
            await batch.journal.submitting(job, number=1, reserved_micros=3_000, now_us=START_US)
            error = JobError("no", cost_micros=first_cost)
            await batch.journal.attempt_failed(job, number=1, error=error, latency_ms=5, now_us=START_US)
            await batch.journal.submitting(job, number=2, reserved_micros=3_000, now_us=START_US)
            await batch.journal.succeeded(
                job, number=2, prediction=PREDICTION, image=IMAGE, latency_ms=5, now_us=START_US
            )
        assert await on_disk(out, "SELECT cost_micros FROM jobs ORDER BY position") == [(4_000,), (None,)]
        counts = await count_jobs(batch.engine)
        assert (counts.cost_micros, counts.cost_unknown) == (7_000, 1)


async def test_any_words_of_a_provider_can_be_kept(out: Path) -> None:
    """NUL and half a surrogate pair are what PostgreSQL refuses: they must not keep the jobs beside from their ends."""
    job = make_job()
    async with batch_of(out, [job]) as batch:
        await batch.journal.ended_without_image(
            job, number=None, state=JobState.FAILED, error=JobError("a\0b\ud800c"), latency_ms=5, now_us=START_US
        )
        assert await on_disk(out, "SELECT state, error_message FROM jobs") == [("failed", "ab?c")]


async def test_a_failed_attempt_leaves_the_job_open(out: Path) -> None:
    """Killed between two attempts, a job is simply planned."""
    job = make_job()
    async with batch_of(out, [job]) as batch:
        await batch.journal.submitting(job, number=1, reserved_micros=None, now_us=START_US)
        await batch.journal.attempt_failed(job, number=1, error=JobError("no"), latency_ms=5, now_us=START_US)
        [entry] = await find_open_jobs(batch.engine, 0, 10)
        assert (entry.state, entry.attempts, entry.prediction) == (JobState.PLANNED, 1, None)


async def test_many_changes_share_few_commits(out: Path) -> None:
    """A hundred intents at once cost a handful of transactions, not a hundred."""
    jobs = [make_job(number) for number in range(100)]
    async with batch_of(out, jobs) as batch:
        commits: list[object] = []
        writes_through = getattr(batch.journal._writer.engine, "sync_engine", batch.journal._writer.engine)  # type: ignore[attr-defined]
        event.listen(writes_through, "commit", commits.append)

        async def intend(job: Job) -> None:
            await batch.journal.submitting(job, number=1, reserved_micros=None, now_us=START_US)

        await asyncio.gather(*(intend(job) for job in jobs))
        assert await on_disk(out, "SELECT count(*) FROM attempts") == [(100,)]
        assert len(commits) <= 5
