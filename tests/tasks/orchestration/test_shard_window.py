"""Shards side by side: what ends the batch in one of them ends no other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import BatchStopped, Refused
from tasks.core.records import Job, Prediction
from tasks.generate.batch import Batch, open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.open_jobs import Selection, Shard
from tasks.ledger.queries import count_jobs
from tasks.orchestration.shard_window import run_backends, run_shards
from tasks.store.output.folder import OutputFolder
from tests.support.factories import FakeClock, make_job, open_batch_with, plan_jobs
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import open_scripted
from tests.support.waiting import PATIENCE_S


@asynccontextmanager
async def several(out: Path, jobs: list[Job], backends: dict[str, dict[str, Any]]) -> AsyncIterator[Batch]:
    """A batch over these jobs with several backends, in recorded time."""
    settings = Settings(
        default_backend=next(iter(backends)),
        backends={name: BackendSettings.model_validate(each) for name, each in backends.items()},
    )
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, jobs)
        clock = FakeClock().clock
        async with open_batch(OutputFolder(out), engine, settings, budget_micros=None, clock=clock) as batch:
            yield batch


async def generate(batch: Batch, selection: Selection) -> None:
    """Generate as a run does, without Prefect's task runs."""

    async def work(shard: Shard) -> None:
        await generate_range(batch, shard.first, shard.last, shard.planned_run, shard.backend)

    await run_backends(batch, selection, work, size=5)


async def test_a_shard_that_cannot_be_read_lets_the_others_land(out: Path) -> None:
    """The ledger went away when the second one began: the batch stops, and what the first has in flight is awaited."""
    landed = []

    async def work(shard: Shard) -> None:
        if shard.number == 2:
            raise BatchStopped("ledger", "the ledger is away")
        await asyncio.sleep(0.2)
        landed.append(shard.number)

    async with open_batch_with(out, [make_job(number) for number in range(3)]) as batch:
        await run_shards(batch, Selection(), work, size=1, most_open=2)
        assert str(batch.stop.cause) == "the ledger is away"
    assert landed == [1]


async def test_a_ledger_that_names_no_further_shard_lets_the_others_land(out: Path) -> None:
    """It broke while a shard was in flight: no traceback, and the shard is not cancelled."""
    landed = []

    async with open_batch_with(out, [make_job(number) for number in range(3)]) as batch:

        async def work(shard: Shard) -> None:
            if shard.number == 1:
                await asyncio.sleep(0.5)
                landed.append(shard.number)
            elif shard.number == 2:
                async with batch.engine.begin() as db:
                    await db.exec_driver_sql("DROP TABLE jobs")

        await run_shards(batch, Selection(), work, size=1, most_open=2)
        assert batch.stop.cause is not None
        assert "no such table" in str(batch.stop.cause)
    assert landed == [1]


async def test_a_straggler_holds_up_no_other_shard(out: Path) -> None:
    """The jobs that are open are counted, not the shards: while one job of the first is looked for, all others end."""
    backend, found = ScriptedBackend(), asyncio.Event()
    jobs = [make_job(number) for number in range(40)]
    async with open_scripted(out, backend, jobs, concurrency=4) as batch:
        wait = backend.wait

        async def wait_long(job: Job, prediction: Prediction) -> Prediction:
            if job.id == "row-0":
                await found.wait()
            elif backend.calls["wait"] == len(jobs) - 2:
                found.set()
            return await wait(job, prediction)

        backend.wait = wait_long  # type: ignore[method-assign]

        async def work(shard: Shard) -> None:
            await generate_range(batch, shard.first, shard.last)

        await asyncio.wait_for(run_shards(batch, Selection(), work, size=5, most_open=8), PATIENCE_S)
        assert (await count_jobs(batch.engine)).succeeded == len(jobs)


async def test_backends_do_not_wait_for_each_other(out: Path) -> None:
    """All rows of the fast backend are made while none of the slow one, which stand before them, has ended."""
    slow, fast, all_made = ScriptedBackend(), ScriptedBackend(), asyncio.Event()
    jobs = [make_job(number, backend="slow" if number < 30 else "fast") for number in range(60)]
    settings = {"type": "sketch", "concurrency": 2}
    async with several(out, jobs, {"slow": settings, "fast": settings}) as batch:
        batch._backends |= {"slow": slow, "fast": fast}
        wait_slow, wait_fast = slow.wait, fast.wait

        async def hold(job: Job, prediction: Prediction) -> Prediction:
            await all_made.wait()
            return await wait_slow(job, prediction)

        async def count(job: Job, prediction: Prediction) -> Prediction:
            if fast.calls["wait"] == 29:
                all_made.set()
            return await wait_fast(job, prediction)

        slow.wait, fast.wait = hold, count  # type: ignore[method-assign]
        await asyncio.wait_for(generate(batch, Selection()), PATIENCE_S)
        counts = await count_jobs(batch.engine)
    assert counts.succeeded == 60
    assert (slow.most_in_flight, fast.most_in_flight) == (2, 2)


async def test_a_limit_holds_over_all_backends(out: Path) -> None:
    """The first jobs in manifest order, whichever backend makes them."""
    jobs = [make_job(number, backend="a" if number % 3 else "b") for number in range(12)]
    async with several(out, jobs, {"a": {"type": "sketch"}, "b": {"type": "sketch"}}) as batch:
        await generate(batch, Selection(limit=5))
        assert (await count_jobs(batch.engine)).succeeded == 5


async def test_a_rerouted_job_is_made_once(out: Path) -> None:
    """It is in the hands of its first backend's shard when the second one's shards find it in the ledger."""
    first, second = ScriptedBackend(), ScriptedBackend()
    jobs = [make_job(number, backend="first", fallbacks=("second",)) for number in range(12)]
    jobs += [make_job(number, backend="second") for number in range(12, 24)]
    for job in jobs[:12]:
        first.on_wait[job.id or ""] = deque([Refused("no")])
    async with several(out, jobs, {"first": {"type": "sketch"}, "second": {"type": "sketch"}}) as batch:
        batch._backends |= {"first": first, "second": second}
        await generate(batch, Selection())
        assert (await count_jobs(batch.engine)).succeeded == 24
    assert sorted(second.billed.values()) == [1] * 24
