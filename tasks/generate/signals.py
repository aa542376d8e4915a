"""Ctrl-C, SIGTERM and a closed terminal while a batch runs: the first awaits the jobs in flight, the second stops now."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

from tasks.core.errors import INTERRUPTED_STATUS
from tasks.generate.stop import StopSignal

HANG_UP = getattr(signal, "SIGHUP", None)
"""The terminal was closed, or its connection lost; Windows has no such signal."""
SIGNALS = tuple(number for number in (signal.SIGINT, signal.SIGTERM, HANG_UP) if number is not None)
PATIENCE_S = 5.0
"""Seconds that a second signal waits for an orderly end; the ledger is consistent at any moment."""
ECHO_S = 10.0
"""Seconds in which a parent process may pass the same Ctrl-C on as SIGTERM: one request, not two."""
PREFECT_RUN = "PREFECT__FLOW_RUN_ID"
"""Set by Prefect where its worker or runner has started this process; it sends SIGKILL where it can wait no longer."""

_heard: ContextVar[tuple[StopSignal, Callable[[], None]] | None] = ContextVar("heard", default=None)
"""What signals stop in this context, and the function that listens for them."""


@asynccontextmanager
async def handle_signals(stop: StopSignal) -> AsyncIterator[None]:
    """Handle signals in the block; Python allows it in the main thread only, so elsewhere nothing changes."""
    heard = _heard.get()
    if threading.current_thread() is not threading.main_thread():
        yield
    # A flow within a run: a loop has one handler of a signal, and the end of this block would leave the run with none.
    elif heard is not None and heard[0] is stop:
        heard[1]()  # once more, because Prefect has put a handler of SIGTERM in its place that ends the flow at once
        yield
    else:
        async with _install_handlers(stop):
            yield


@asynccontextmanager
async def _install_handlers(stop: StopSignal) -> AsyncIterator[None]:
    loop, current = asyncio.get_running_loop(), asyncio.current_task()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if HANG_UP is not None and before[HANG_UP] is signal.SIG_IGN:
        del before[HANG_UP]  # started with nohup: it is to outlive its terminal

    first: list[tuple[signal.Signals, float]] = []

    def on_signal(number: signal.Signals) -> None:
        if not first:  # a batch that stopped by itself never becomes an interrupted one, and is ended by two as well
            first.append((number, loop.time()))
            stop.drain()
        elif _is_echo(number, first[0][0], loop.time() - first[0][1]):
            return
        elif current is not None and not current.cancelling():
            # Lets open predictions be cancelled at the provider before the process ends.
            current.cancel()
            # Threads that write or decode cannot be cancelled, and would keep the process alive.
            loop.call_later(PATIENCE_S, os._exit, INTERRUPTED_STATUS)
        else:
            os._exit(INTERRUPTED_STATUS)

    def listen() -> None:
        for number in before:
            loop.add_signal_handler(number, on_signal, number)

    listen()
    token = _heard.set((stop, listen))
    try:
        yield
    finally:
        _heard.reset(token)
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            with suppress(TypeError):  # a handler that was not set from Python cannot be put back
                signal.signal(number, handler)


def _is_echo(number: signal.Signals, first: signal.Signals, elapsed_s: float) -> bool:
    """Tell whether a further signal means no more than the first one did."""
    if number == HANG_UP:
        return True  # shells send it once more, and nobody is left who could have meant it
    if number == signal.SIGTERM and PREFECT_RUN in os.environ:
        return True  # systemd and a container's first process tell every process, and Prefect's worker tells its runs
    return number != first and elapsed_s < ECHO_S
