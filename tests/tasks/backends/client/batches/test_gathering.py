"""Jobs gathered into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tasks.backends.client.batches.gathering import BatchGatherer
from tasks.backends.client.batches.service import BatchLine


async def test_what_nobody_waits_for_any_more_is_not_sent() -> None:
    """A job that is cancelled while its batch gathers is not paid for."""
    sent: list[list[str]] = []

    async def send(lines: Sequence[BatchLine]) -> str:
        sent.append([line.custom_id for line in lines])
        return "b"

    gathering = BatchGatherer(send, most=10, quiet_s=0.05, sleep=asyncio.sleep)
    first = asyncio.create_task(gathering.add(BatchLine("a", {})))
    second = asyncio.create_task(gathering.add(BatchLine("b", {})))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "b"
    assert sent == [["b"]]
    await gathering.close()
