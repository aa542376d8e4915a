"""Where time comes from: one frozen record of callables, so that tests bring their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def instant(us: int) -> datetime:
    """The aware instant of so many microseconds since 1970 UTC."""
    return datetime.fromtimestamp(us / 1e6, tz=UTC)


def since_boot_s() -> float:
    """Monotonic seconds that go on while the machine sleeps, where the system counts them."""
    if not hasattr(time, "clock_gettime"):
        return time.monotonic()
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall clock, monotonic clocks and sleep."""

    now_us: Callable[[], int] = lambda: time.time_ns() // 1_000
    """Microseconds since 1970 UTC."""
    monotonic_s: Callable[[], float] = time.monotonic
    since_boot_s: Callable[[], float] = since_boot_s
    """For what ends elsewhere while this machine sleeps."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
