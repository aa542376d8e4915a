"""Step 4: jobs on their way from the ledger through a backend to stored pictures.

Takes open jobs, leaves each succeeded, failed, held, or open for the next run; `tasks.generate.job` is one job's way.
"""

from __future__ import annotations

import asyncio

from tasks.core.errors import BatchStopped, LeaseLost
from tasks.core.records import JobState
from tasks.generate.batch import Batch
from tasks.generate.job import JobRun
from tasks.generate.stop import stop_on_error
from tasks.ledger.open_jobs import OpenJob


async def generate_range(batch: Batch, first: int, last: int, planned_run: int | None = None) -> None:
    """Bring the open jobs between two sort keys to an end; jobs that a stop leaves open stay open.

    With a run only those that it has planned. Running it again goes on from the ledger and repeats nothing.
    """
    async with batch.open_jobs(first, last, planned_run) as entries, asyncio.TaskGroup() as group:
        for open_job in entries:
            group.create_task(generate_job(batch, open_job))


async def generate_job(batch: Batch, open_job: OpenJob) -> None:
    """Bring one job to an end, or leave it open because the batch stops."""
    place = batch.get_limits(open_job.job.backend).slot()
    await place.acquire()
    if batch.stop.requested:
        place.release()
        return
    batch.tally.in_flight += 1
    run = JobRun(batch, open_job, place)
    try:
        state = await run.to_the_end()
        if state is not JobState.PLANNED:
            batch.tally.ended(state)
            batch.watch.note(failed=state is not JobState.SUCCEEDED)
            if batch.holding is not None:
                batch.holding.ended(open_job.job)
    except LeaseLost:
        if batch.holding is not None:
            with stop_on_error(batch.stop):
                await batch.holding.release([open_job.job])
    except BatchStopped as stopped:
        batch.stop.stop(stopped)
    finally:
        place.release()
        run.let_go()
        batch.tally.in_flight -= 1
    if run.handed_over is not None:
        await generate_job(batch, run.handed_over)
