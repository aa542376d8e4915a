"""Shards of a batch, a bounded number of them side by side, whoever works through each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tasks.generate.batch import Batch
from tasks.generate.stop import stop_on_error
from tasks.ledger.open_jobs import Selection, Shard, list_shards

MOST_TASK_RUNS = 500
"""A task run costs 3 events and 10 to 30 ms of CPU (measured with Prefect 3.8.8, 2026-11)."""


async def run_shards(
    batch: Batch, selection: Selection, work: Callable[[Shard], Awaitable[None]], *, size: int, places: int
) -> None:
    """Work through the selected open jobs; after a stop no further shard is begun, and those that are end.

    A ledger that cannot be read for the next shard stops the batch, and no shard that is in flight.

    Args:
        batch: The open batch.
        selection: Which of its open jobs are meant.
        work: What is done with a shard.
        size: Jobs in a shard.
        places: Shards side by side at most.
    """
    window = asyncio.Semaphore(places)

    async def one(shard: Shard) -> None:
        try:
            with stop_on_error(batch.stop):
                await work(shard)
        finally:
            window.release()

    async with asyncio.TaskGroup() as group:
        with stop_on_error(batch.stop):
            async for shard in list_shards(batch.engine, size, selection):
                await window.acquire()
                if batch.stop.requested:
                    break
                group.create_task(one(shard))
