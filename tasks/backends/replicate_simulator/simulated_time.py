"""Time that passes faster than the wall clock's, and how Replicate writes an instant."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from tasks.core.clock import Clock

LONGEST_FRACTION = 9


def make_fast_clock(speed: float) -> Clock:
    """A clock that starts at the present instant and runs `speed` times as fast as the real one."""
    wall_s, begun_s = time.time(), time.monotonic()

    def passed_s() -> float:
        return (time.monotonic() - begun_s) * speed

    return Clock(
        now_us=lambda: round((wall_s + passed_s()) * 1e6),
        monotonic_s=passed_s,
        sleep=lambda seconds: asyncio.sleep(seconds / speed),
    )


def format_rfc3339(instant_s: float) -> str:
    """An instant (seconds since 1970 UTC) with 2 to 9 fractional digits, as in captured answers.

    Replicate cuts zeros at the end, so the number of digits differs from instant to instant; here it follows from
    the microsecond, and the digits beyond it are made up.
    """
    microseconds = round(instant_s * 1e6)
    whole_s, fraction_us = divmod(microseconds, 1_000_000)
    # From the microsecond, so that equal instants look alike and neighbours do not.
    digits = 2 + microseconds % (LONGEST_FRACTION - 1)
    fraction = f"{fraction_us:06d}{microseconds % 1_000:03d}"[:digits]
    return f"{datetime.fromtimestamp(whole_s, tz=UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"
