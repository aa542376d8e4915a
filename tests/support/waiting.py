"""Waiting for what another process or task does: for a condition, never for a length of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE_S = 300.0
"""More than anything in the tests takes on the busiest machine: only what hangs takes longer."""
LOOK_S = 0.05


def eventually(look: Callable[[], Any]) -> Any:
    """Call `look` until it gives something, and give that."""
    ends_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_s:
        if found := look():
            return found
        time.sleep(LOOK_S)
    raise AssertionError(f"not within {PATIENCE_S:.0f} s")


async def eventually_async(look: Callable[[], Awaitable[bool]]) -> None:
    """Return once `look` says so; other tasks run meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while not await look():
            await asyncio.sleep(0)
