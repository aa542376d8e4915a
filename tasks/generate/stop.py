"""The signal that ends a batch early: nothing new is created, jobs in flight are awaited and stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tasks.core.errors import BatchStopped

INTERRUPTED, CANCELLED = "interrupted", "cancelled"
Sleep = Callable[[float], Awaitable[None]]
"""Sleeps for a number of seconds."""


class StopSignal:
    """Set once, by whatever stops the batch first."""

    def __init__(self, explain: Callable[[BatchStopped], BatchStopped] = lambda cause: cause) -> None:
        """Start unset; `explain` gives the cause behind a cause."""
        self._explain = explain
        self.cause: BatchStopped | None = None
        self._stopped = asyncio.Event()

    @property
    def requested(self) -> bool:
        """True once nothing new may be created."""
        return self.cause is not None

    @property
    def interrupted(self) -> bool:
        """True where a person or the system stopped the batch (Ctrl-C, SIGTERM, a cancelled flow run)."""
        return self.cause is not None and self.cause.reason in {INTERRUPTED, CANCELLED}

    def stop(self, cause: BatchStopped) -> None:
        """Stop the batch for this reason, unless it has stopped already."""
        # The first reason is the one to tell; what follows is mostly its consequence.
        self.cause = self.cause or self._explain(cause)
        self._stopped.set()

    def drain(self) -> None:
        """Stop the batch on behalf of the user or the system."""
        self.stop(BatchStopped(INTERRUPTED, "interrupted; continue with `imagen resume`"))

    def cancel(self) -> None:
        """Record that somebody cancelled the run on purpose; a batch that stopped for another reason keeps it."""
        if self.interrupted:
            self.cause = BatchStopped(CANCELLED, "cancelled; continue with `imagen resume`")

    async def wait(self) -> None:
        """Return once nothing new may be created."""
        await self._stopped.wait()

    def check(self) -> None:
        """Check that creates may still be made.

        Raises:
            BatchStopped: The batch stops.
        """
        if self.cause is not None:
            raise self.cause

    def pausing(self, sleep: Sleep) -> Sleep:
        """Wrap a sleep that precedes a create: it ends with `BatchStopped` as soon as the batch stops."""

        async def pause(seconds: float) -> None:
            self.check()
            # A pause may be minutes long; Ctrl-C must not wait for its end.
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
    """Run the block; a `BatchStopped` in it sets the signal and ends the block only."""
    try:
        yield
    except BatchStopped as stopped:
        switch.stop(stopped)
