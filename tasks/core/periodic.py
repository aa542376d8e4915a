"""Doing something again and again beside the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def repeating(action: Callable[[], Awaitable[None]], *, every_s: float) -> AsyncIterator[None]:
    """Do `action` every so many seconds for the duration of the block, and once more at its end."""

    async def keep_on() -> None:
        while True:
            await asyncio.sleep(every_s)
            await action()

    repeated = asyncio.create_task(keep_on())
    try:
        yield
    finally:
        repeated.cancel()
        with suppress(asyncio.CancelledError):
            await repeated
        await action()
