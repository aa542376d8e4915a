"""Prefect's global concurrency limits, which several runs share: `imagen-<backend>`, where there is one.

A run takes one slot of each of its backends' limits, once. Where a limit does not exist nothing is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from prefect import get_client
from prefect.concurrency.asyncio import concurrency
from prefect.exceptions import ObjectNotFound

from tasks.batch import Batch
from tasks.ledger.queries import Selection, open_backends
from tasks.periodic import repeating
from tasks.progress import current_display
from tasks.stop import StopSwitch

PREFIX = "imagen-"
LOOK_S = 0.2


@asynccontextmanager
async def global_limits(batch: Batch, selection: Selection) -> AsyncIterator[None]:
    """Hold a slot of the limit of every backend with open jobs, for the duration of the block.

    A batch that is stopped while it waits for its slots goes on without them: it sends nothing more.
    """
    names = await _existing(await open_backends(batch.engine, selection))
    async with AsyncExitStack() as slots:
        if names:
            current_display.get().phase(f"waiting for {', '.join(names)}")
            await _take(names, batch.stop, slots)
        yield


async def _existing(backends: Iterable[str]) -> list[str]:
    found = []
    async with get_client() as client:
        for name in sorted(PREFIX + backend for backend in backends):
            try:
                limit = await client.read_global_concurrency_limit_by_name(name)
            except ObjectNotFound:
                continue
            if limit.active:
                found.append(name)
    return found


async def _take(names: list[str], stop: StopSwitch, slots: AsyncExitStack) -> None:
    # A lease that cannot be renewed for a while is no reason to stop: what is in flight is paid for.
    taking = concurrency(names, raise_on_lease_renewal_failure=False)
    try:
        async with asyncio.timeout(None) as patience:

            async def give_up() -> None:
                if stop.requested:
                    patience.reschedule(0)

            async with repeating(give_up, every_s=LOOK_S):
                await slots.enter_async_context(taking)
    except TimeoutError:
        if not stop.requested:
            raise
