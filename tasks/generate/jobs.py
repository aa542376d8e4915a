"""Step 4: jobs on their way from the ledger through a backend to stored images.

Each open job ends succeeded, failed or held, or stays open for the next run. `tasks.generate.job` runs one job.
"""

from __future__ import annotations

import asyncio
import logging

from tasks.core.errors import BatchStopped, LeaseLost
from tasks.core.records import Job, JobState
from tasks.core.safe_text import error_text
from tasks.generate.batch import Batch
from tasks.generate.job import JobRun
from tasks.generate.slots.slot import Slot
from tasks.generate.stop import stop_on_error
from tasks.ledger.open_jobs import OpenJob, find_open_jobs

logger = logging.getLogger(__name__)


async def generate_range(
    batch: Batch, first: int, last: int, planned_run: int | None = None, backend: str | None = None
) -> None:
    """Generate the open jobs between two sort keys; a stop leaves the rest open.

    For a process that has the batch alone; workers that share one claim jobs (`tasks.generate.workers.claims`).
    Running it again continues from the ledger and repeats nothing.

    Args:
        batch: The open batch.
        first: Sort key of the first job.
        last: Sort key of the last job.
        planned_run: Only jobs that this run has planned; None for all.
        backend: Only jobs of this backend; None for all.
    """
    window = batch.get_window(backend)
    found = await find_open_jobs(batch.engine, first, last, planned_run=planned_run, backend=backend)
    async with asyncio.TaskGroup() as group:
        for open_job in found:
            # The shard of the first backend still works on it; here it would be made twice.
            if open_job.job.job_id not in batch.rerouted:
                task = group.create_task(generate_job(batch, open_job))
                # Job by job, so that one slow job does not keep the next shard from opening.
                task.add_done_callback(lambda _: window.end_job(first))


async def generate_job(batch: Batch, open_job: OpenJob) -> None:
    """Generate one job, on one backend after the other; a stop leaves it open."""
    remaining: OpenJob | None = open_job
    while remaining is not None:
        slot = batch.get_limits(remaining.job.backend).make_slot(remaining.job)
        # Before `JobRun` is built: open jobs beyond the slots cost no more than their row.
        await slot.acquire()
        try:
            # Asked after the wait for the slot, during which the batch may have stopped.
            remaining = None if batch.stop.requested else await _generate_on_backend(batch, remaining, slot)
        finally:
            slot.release()


async def _generate_on_backend(batch: Batch, open_job: OpenJob, slot: Slot) -> OpenJob | None:
    """Run the job at its present backend.

    Returns:
        The job as another backend goes on with it; None where it ended or stays open.
    """
    batch.tally.in_flight += 1
    batch.metrics.start_job(open_job.job)
    run, state = JobRun(batch, open_job, slot), None
    try:
        end = await run.run()
        state = end.state
        # Rerouted or withdrawn: it has not ended, so no count and no failure rate.
        if end.state is not JobState.PLANNED:
            await _count_end(batch, open_job.job, end.state)
    # Not an error: another worker has the job and its money.
    except LeaseLost:
        if batch.leases is not None:
            with stop_on_error(batch.stop):
                await batch.leases.release([open_job.job])
    except BatchStopped as stopped:
        batch.stop.stop(stopped)
    except Exception as exc:  # noqa: BLE001  its end could not be recorded: it stays open, and no other job ends with it
        logger.warning("job %s stays open: %s", open_job.job.job_id[:12], error_text(exc))
        with stop_on_error(batch.stop):
            batch.watch.note(failed=True)
    else:
        return end.rerouted_job
    finally:
        run.release_budget()
        batch.tally.in_flight -= 1
        batch.metrics.end_job(open_job.job, state)
    return None


async def _count_end(batch: Batch, job: Job, state: JobState) -> None:
    batch.tally.count_end(state)
    batch.watch.note(failed=state is not JobState.SUCCEEDED)
    try:
        if batch.gate is not None and state is JobState.SUCCEEDED:
            await batch.gate.land(job)
    finally:
        # Until then: a judge's call is paid for under the job's lease.
        if batch.leases is not None:
            batch.leases.ended(job)
