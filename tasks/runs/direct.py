"""A whole run in this process, without Prefect: for a prompt or two, where a server would take longer than the images."""

from __future__ import annotations

from tasks.generate.jobs import generate_range
from tasks.generate.signals import handle_signals
from tasks.ledger.open_jobs import Selection, count_open, list_shards
from tasks.metadata.write import refresh_metadata
from tasks.report.progress import show_progress
from tasks.report.summary import Summary
from tasks.runs.checks import check_ledger, check_request
from tasks.runs.gates import guard_images
from tasks.runs.plan_run import plan_run
from tasks.runs.request import RunRequest
from tasks.runs.run import OpenRun, conclude_run, open_run
from tasks.usage.push import push_usage


async def run_directly(request: RunRequest) -> Summary:
    """Run the steps of the flow `generate-batch`, without Prefect's records and limits.

    Raises:
        ImagenError: The request cannot be carried out, or the run stopped. Its type says whether money was spent.
    """
    # The same checks as a run with Prefect: `imagen try` must not spend where `imagen run` would not.
    check_request(request)
    await check_ledger(request)
    async with open_run(request) as run, handle_signals(run.batch.stop):
        await _generate(run)
        return await finish_run(run)


async def count_left(run: OpenRun, selection: Selection) -> int:
    """Count the jobs that the run has to generate: 0 when all are done, or its budget stopped it before the first."""
    # A batch that was stopped while it planned has jobs left, and none of them may be sent.
    return 0 if run.batch.stop.requested else await count_open(run.batch.engine, selection)


async def finish_run(run: OpenRun) -> Summary:
    """Write the metadata table, push usage, and record how the run ended."""
    # Checked before the table is written: a table into a folder that was moved would be lost.
    run.batch.out.check_in_place()
    await refresh_metadata(run.batch.engine, run.batch.out, run=run.number)
    usage = await push_usage(run.batch.engine, run.settings.usage, out=run.batch.out, clock=run.batch.clock)
    return await conclude_run(run, usage)


async def _generate(run: OpenRun) -> None:
    batch, selection = run.batch, await plan_run(run)
    async with guard_images(run):
        while left := await count_left(run, selection):
            async with show_progress(batch, left=batch.tally.done + left):
                async for shard in list_shards(batch.engine, left, selection):
                    await generate_range(batch, shard.first, shard.last, shard.planned_run)
            if batch.gate is None or not await batch.gate.settle():
                break
