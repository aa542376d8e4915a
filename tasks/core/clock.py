"""Clocks and sleep as one frozen record of callables, so that tests bring their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

LEARNING = 0.1
"""Weight of the newest time in a running estimate."""


def to_instant(us: int) -> datetime:
    """Convert microseconds since 1970 UTC to an aware datetime."""
    return datetime.fromtimestamp(us / 1e6, tz=UTC)


def read_boot_clock_s() -> float:
    """Monotonic seconds that go on while the machine sleeps, where the system counts them."""
    if not hasattr(time, "clock_gettime"):
        return time.monotonic()
    # Only Linux has CLOCK_BOOTTIME; macOS's monotonic clock goes on while the machine sleeps.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall clock, monotonic clocks and sleep."""

    now_us: Callable[[], int] = lambda: time.time_ns() // 1_000
    """Microseconds since 1970 UTC."""
    monotonic_s: Callable[[], float] = time.monotonic
    since_boot_s: Callable[[], float] = read_boot_clock_s
    """For deadlines that are kept elsewhere and pass while this machine sleeps."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def learn_time(usual_s: float, seconds: float) -> float:
    """The running estimate of the time that something usually takes, after it took so long once more."""
    return usual_s + LEARNING * (seconds - usual_s)


@asynccontextmanager
async def repeat_every(action: Callable[[], Awaitable[None]], *, every_s: float) -> AsyncIterator[None]:
    """Run `action` every `every_s` seconds while the block runs, and once more at its end."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(every_s)
            await action()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await action()
