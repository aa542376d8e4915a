"""Shards of a batch, side by side while few enough of their jobs are open, whoever works through each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tasks.generate.batch import Batch
from tasks.generate.limits import OPEN_FOR_EACH_SLOT
from tasks.generate.stop import stop_on_error
from tasks.ledger.open_jobs import Selection, Shard, bound_selection, find_open_backends, list_shards

MOST_TASK_RUNS = 500
"""A task run costs 3 events and 10 to 30 ms of CPU (measured with Prefect 3.8.8, 2026-11)."""


async def run_backends(
    batch: Batch, selection: Selection, work: Callable[[Shard], Awaitable[None]], *, size: int
) -> None:
    """Work through the selected open jobs of every backend, each with a window of its own: none waits for another.

    Args:
        batch: The open batch.
        selection: The open jobs that are meant.
        work: Works through a shard, which holds jobs of one backend.
        size: Jobs in a shard.
    """
    names: list[str] = []
    with stop_on_error(batch.stop):
        selection = await bound_selection(batch.engine, selection)
        names = await find_open_backends(batch.engine, selection)
    async with asyncio.TaskGroup() as group:
        for name in names:
            most = OPEN_FOR_EACH_SLOT * batch.get_limits(name).concurrency
            group.create_task(run_shards(batch, replace(selection, backend=name), work, size=size, most_open=most))


async def run_shards(
    batch: Batch, selection: Selection, work: Callable[[Shard], Awaitable[None]], *, size: int, most_open: int
) -> None:
    """Work through the selected open jobs; after a stop no further shard is begun, and those that are end.

    A ledger that cannot be read for the next shard stops the batch, and no shard that is in flight.

    Args:
        batch: The open batch.
        selection: The open jobs that are meant.
        work: Works through a shard.
        size: Jobs in a shard.
        most_open: Open jobs beyond which no further shard is begun.
    """
    window = batch.get_window(selection.backend)

    async def one(shard: Shard) -> None:
        try:
            with stop_on_error(batch.stop):
                await work(shard)
        finally:
            window.close_shard(shard.first)

    async with asyncio.TaskGroup() as group:
        with stop_on_error(batch.stop):
            async for shard in list_shards(batch.engine, size, selection):
                await window.open_shard(shard.first, shard.jobs, most=most_open)
                # A stop ends the loop; shards that are open already are left to land.
                if batch.stop.requested:
                    break
                group.create_task(one(shard))
