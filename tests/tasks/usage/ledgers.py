"""Ledgers of finished batches, written without generating anything; and rows as sinks take them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from tasks.core.clock import Clock
from tasks.core.configuration.sections import UsageSettings
from tasks.core.configuration.settings import Settings
from tasks.core.identity import hash_prompt
from tasks.core.records import JobState
from tasks.core.retry import retry_usage
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.runs import RunStart, begin_run, end_run
from tasks.usage.push import PushReport, push_usage
from tasks.usage.query import UsageQuery
from tasks.usage.report import read_rows
from tasks.usage.rows import UsageRow, build_usage_id
from tasks.usage.sinks import open_sink
from tests.support.factories import START_US, FakeClock, make_job, plan_jobs

SECOND_US = 1_000_000
EVERYTHING = UsageQuery()


def make_row(number: int, **changes: Any) -> UsageRow:
    """A row a second after the last; each odd one has an unknown cost."""
    values: dict[str, Any] = {
        "id": build_usage_id(str(number), 1, START_US),
        "created_at_us": START_US + number * SECOND_US,
        "backend": "flux",
        "model": "m",
        "seed": number,
        "prompt_hash": hash_prompt("x"),
        "latency_ms": 1_000,
        "cost_micros": None if number % 2 else 3_000,
        "caller": "tester",
    }
    return UsageRow(**(values | changes))


async def write_batch(
    out: Path, count: int, *, callers: Iterable[str] = ("tester",), usage: UsageSettings | None = None
) -> None:
    """A ledger of so many jobs that succeeded, an equal part of them in the run of each caller."""
    callers = list(callers)
    out.mkdir(parents=True, exist_ok=True)
    settings = Settings(usage=usage or UsageSettings()).model_dump_json()
    planned = [make_job(number) for number in range(count)]
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, planned)
        for number, caller in enumerate(callers):
            start = RunStart(manifest="m.txt", salt=None, budget_micros=None, settings=settings, caller=caller)
            begun_us = START_US + number * count * SECOND_US
            run = await begin_run(engine, start, now_us=begun_us)
            await end_run(engine, run, "completed", now_us=begun_us + 1)
        async with engine.begin() as db:
            await db.execute(update(jobs).values(state=JobState.SUCCEEDED, attempts=1))
            for number in range(0, count, 1_000):
                values = [
                    {
                        "job_id": job.job_id,
                        "number": 1,
                        "state": JobState.SUCCEEDED,
                        "backend": "sketch",
                        "started_at_us": START_US + (job.position % len(callers)) * count * SECOND_US + job.position,
                        "ended_at_us": START_US + len(callers) * count * SECOND_US + job.position,
                        "latency_ms": 1_000 + job.position,
                        "cost_micros": 3_000,
                    }
                    for job in planned[number : number + 1_000]
                ]
                await db.execute(insert(attempts), values)


async def push(out: Path, settings: UsageSettings, clock: Clock | None = None) -> PushReport:
    """Push what is pending in a batch."""
    async with open_ledger(out) as engine:
        return await push_usage(engine, settings, out=out, clock=clock or Clock())


async def rows_in(settings: UsageSettings, query: UsageQuery = EVERYTHING) -> list[UsageRow]:
    """What the sink has, the newest first."""
    return [row async for row in read_rows(settings, query)]


async def keep(rows: list[UsageRow], settings: UsageSettings) -> None:
    """Push rows straight into the sink, with no wait where it is away."""
    async with open_sink(settings, retrying=retry_usage(FakeClock().sleep)) as sink:
        assert sink is not None
        await sink.push(rows)
