"""Which signals are a first wish to end, and which a second; the second at a real process: tests/flows/test_killed.py."""

from __future__ import annotations

import asyncio
import os
import signal

from tasks.signals import draining_on_signals
from tasks.stop import StopSwitch


async def test_a_ctrl_c_passed_on_by_a_process_above_is_no_second_one() -> None:
    """A terminal's Ctrl-C goes to all of them, and `imagen serve` then tells its runs as well."""
    stop = StopSwitch()
    async with draining_on_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
    assert stop.interrupted
