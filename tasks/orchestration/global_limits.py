"""Prefect's global concurrency limits, which several runs share: `imagen-<backend>`, where there is one.

A run takes one slot of each of its backends' limits, once. Where a limit does not exist nothing is waited for.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from prefect import get_client
from prefect.concurrency.asyncio import concurrency
from prefect.exceptions import ObjectNotFound

from tasks.core.display import current_display
from tasks.generate.batch import Batch
from tasks.generate.stop import StopSignal
from tasks.ledger.open_jobs import Selection, find_open_backends

PREFIX = "imagen-"
NOISY_LOGGER = "prefect._internal.concurrency"
LOOK_S = 5.0
"""Seconds of one try to get a slot; a batch that is told to stop waits no longer."""


@asynccontextmanager
async def hold_global_limits(batch: Batch, selection: Selection) -> AsyncIterator[None]:
    """Hold a slot of the limit of every backend with open jobs, for the duration of the block.

    A batch that is stopped while it waits for its slots goes on without them: it sends nothing more.
    """
    names = await _find_limits(await find_open_backends(batch.engine, selection))
    async with AsyncExitStack() as slots:
        if names:
            current_display.get().phase(f"waiting for {', '.join(names)}")
            await _acquire_slots(names, batch.stop, slots)
        yield


async def _find_limits(backends: Iterable[str]) -> list[str]:
    found = []
    async with get_client() as client:
        # Sorted, so that two runs which need two limits never hold one each and wait for the other's.
        for name in sorted(PREFIX + backend for backend in backends):
            try:
                limit = await client.read_global_concurrency_limit_by_name(name)
            # A limit that nobody created is no limit: Prefect answers 404 and creates none.
            except ObjectNotFound:
                continue
            if limit.active:
                found.append(name)
    return found


async def _acquire_slots(names: list[str], stop: StopSignal, slots: AsyncExitStack) -> None:
    # It would call each try without a slot an error, with a traceback's worth of detail.
    logging.getLogger(NOISY_LOGGER).disabled = True
    while not stop.requested:
        # A lease that cannot be renewed for a while is no reason to stop: what is in flight is paid for.
        # Prefect's `concurrency` waits without an end by default; a batch that is told to stop could not leave it.
        taking = concurrency(names, timeout_seconds=LOOK_S, raise_on_lease_renewal_failure=False)
        with suppress(TimeoutError):
            await slots.enter_async_context(taking)
            return
