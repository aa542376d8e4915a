"""Shards side by side: what ends the batch in one of them ends no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tasks.core.errors import BatchStopped
from tasks.ledger.open_jobs import Selection, Shard
from tasks.orchestration.shard_window import run_shards
from tests.support.factories import batch_of, make_job


async def test_a_shard_that_cannot_be_read_lets_the_others_land(out: Path) -> None:
    """The ledger went away when the second one began: the batch stops, and what the first has in flight is awaited."""
    landed = []

    async def work(shard: Shard) -> None:
        if shard.number == 2:
            raise BatchStopped("ledger", "the ledger is away")
        await asyncio.sleep(0.2)
        landed.append(shard.number)

    async with batch_of(out, [make_job(number) for number in range(3)]) as batch:
        await run_shards(batch, Selection(), work, size=1, places=2)
        assert str(batch.stop.cause) == "the ledger is away"
    assert landed == [1]


async def test_a_ledger_that_names_no_further_shard_lets_the_others_land(out: Path) -> None:
    """It broke while a shard was in flight: no traceback, and the shard is not cancelled."""
    landed = []

    async with batch_of(out, [make_job(number) for number in range(3)]) as batch:

        async def work(shard: Shard) -> None:
            if shard.number == 1:
                await asyncio.sleep(0.5)
                landed.append(shard.number)
            elif shard.number == 2:
                async with batch.engine.begin() as db:
                    await db.exec_driver_sql("DROP TABLE jobs")

        await run_shards(batch, Selection(), work, size=1, places=2)
        assert batch.stop.cause is not None
        assert "no such table" in str(batch.stop.cause)
    assert landed == [1]
