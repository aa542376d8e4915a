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


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall clock, monotonic clock and sleep."""

    now_us: Callable[[], int] = lambda: time.time_ns() // 1_000
    """Microseconds since 1970 UTC."""
    monotonic_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
