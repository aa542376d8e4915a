"""An event loop whose time passes only while everybody waits: hours of it take no time, and two waits go on side by side."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from tasks.core.clock import Clock
from tests.support.factories import START_US

Result = TypeVar("Result")


class _Selector(selectors.DefaultSelector):
    """Waits for nothing but time, which it lets pass at once."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """No file is ever ready."""
        if timeout is None:
            raise RuntimeError("everybody waits for what never comes")
        self.passed_s += max(0.0, timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._waiting = _Selector()
        super().__init__(self._waiting)

    def time(self) -> float:
        return self._waiting.passed_s


def run_in_virtual_time(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it to its end. Nothing in it may wait for a file, a thread or a network."""
    loop = _Loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def make_loop_clock() -> Clock:
    """The clock of the loop that runs."""
    loop = asyncio.get_running_loop()
    return Clock(
        now_us=lambda: START_US + round(loop.time() * 1e6),
        monotonic_s=loop.time,
        since_boot_s=loop.time,
        sleep=asyncio.sleep,
    )
