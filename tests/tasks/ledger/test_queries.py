"""What is read from the ledger for people, for the budget and for the usage sink, on both databases."""

from __future__ import annotations

from pathlib import Path

from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import JobError
from tasks.core.records import JobState, Prediction
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.journal import Journal
from tasks.ledger.queries import (
    count_jobs,
    find_failures,
    find_last_activity_us,
    find_prediction_ids,
    sum_committed_micros,
)
from tasks.ledger.runs import get_last_run
from tasks.ledger.usage import count_usage
from tests.support.factories import START_US, make_job, plan_jobs
from tests.tasks.usage.ledgers import push, rows_in, write_batch


async def test_every_row_is_pushed_once_with_the_caller_of_its_run(out: Path, tmp_path: Path) -> None:
    """More rows than a page holds, from two runs; pushed again, nothing is left and nothing is added."""
    sink = UsageSettings(path=str(tmp_path / "usage.db"))
    await write_batch(out, 1_200, callers=("anna", "bert"))
    for _ in range(2):
        report = await push(out, sink)
        assert (report.pushed, report.pending, report.warning) == (1_200, 0, None)
    callers = [row.caller for row in await rows_in(sink)]
    assert (callers.count("anna"), callers.count("bert")) == (600, 600)
    async with open_ledger(out) as engine:
        assert await count_usage(engine) == (1_200, 0)
        run = await get_last_run(engine)
        assert run is not None
        assert (run.number, run.start.caller, run.outcome) == (2, "bert", "completed")


async def test_money_and_failures_as_people_and_the_budget_see_them(out: Path) -> None:
    """Known costs, reservations of what is not known, and the first failures in manifest order."""
    paid, refused, open_job = make_job(0), make_job(1), make_job(2)
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [paid, refused, open_job])
        journal = Journal(engine)
        for job in (paid, refused, open_job):
            await journal.record_intent(job, number=1, reserved_micros=3_000, now_us=START_US)
        journal.record_submitted(paid, number=1, prediction=Prediction(prediction_id="p1"), retries=0, now_us=START_US)
        for job, cost in ((paid, None), (refused, 1_000)):
            error = JobError("no", kind="moderation", cost_micros=cost)
            await journal.record_end_without_image(
                job, number=1, state=JobState.FAILED, error=error, latency_ms=5, now_us=START_US + 7
            )
        counts = await count_jobs(engine)
        assert (counts.failed, counts.submitting, counts.errors) == (2, 1, {"moderation": 2})
        assert (counts.cost_micros, counts.cost_unknown) == (1_000, 1)
        assert await sum_committed_micros(engine) == 7_000
        assert [row["id"] for row in await find_failures(engine, 1)] == ["row-0"]
        assert await find_last_activity_us(engine) == START_US + 7
        assert await find_prediction_ids(engine, paid) == {"p1"}
