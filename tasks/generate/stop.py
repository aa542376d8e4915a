"""The one switch that ends a batch early: no new submits, what is in flight is awaited and stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tasks.core.errors import BatchStopped

INTERRUPTED = "interrupted"
Sleep = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""


class StopSignal:
    """Off until somebody stops the batch; the first reason counts."""

    def __init__(self) -> None:
        """Off."""
        self.cause: BatchStopped | None = None
        self._stopped = asyncio.Event()

    @property
    def requested(self) -> bool:
        """Whether no new submit may be made."""
        return self.cause is not None

    @property
    def interrupted(self) -> bool:
        """Whether it was a person or the system (Ctrl-C, SIGTERM) and not the batch itself."""
        return self.cause is not None and self.cause.reason == INTERRUPTED

    def stop(self, cause: BatchStopped) -> None:
        """Stop the batch for this reason, if it is not stopped already."""
        self.cause = self.cause or cause
        self._stopped.set()

    def drain(self) -> None:
        """Stop it because the user or the system asked to."""
        self.stop(BatchStopped(INTERRUPTED, "interrupted; `imagen resume` goes on from here"))

    def check(self) -> None:
        """Pass while submits may be made.

        Raises:
            BatchStopped: They may not.
        """
        if self.cause is not None:
            raise self.cause

    def pausing(self, sleep: Sleep) -> Sleep:
        """The same sleep for whoever waits before a submit: no longer than one may still be made.

        It raises `BatchStopped` when none may be made any more.
        """

        async def pause(seconds: float) -> None:
            self.check()
            asleep, stopped = asyncio.ensure_future(sleep(seconds)), asyncio.ensure_future(self._stopped.wait())
            try:
                await asyncio.wait((asleep, stopped), return_when=asyncio.FIRST_COMPLETED)
            finally:
                asleep.cancel()
                stopped.cancel()
            self.check()

        return pause


@contextmanager
def stop_on_error(switch: StopSignal) -> Iterator[None]:
    """Run the block; what stops the batch in it is told to the switch, and ends the block only."""
    try:
        yield
    except BatchStopped as stopped:
        switch.stop(stopped)
