"""What holds submits back: jobs in flight, creates a minute, and the rate of failures; `tasks.generate.budget` is the fourth.

One `BackendLimits` for each backend, shared by all shards of a process. Where several processes share a batch, `tasks.generate.workers`
keeps the rates and the failures for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from tasks.backends.client.rate_limiter import CreateLimiter
from tasks.core.errors import BatchStopped


class BackendLimits:
    """The way to one backend: so many predictions in flight, as many pictures landing, so many creates a minute."""

    def __init__(self, *, concurrency: int, creates: CreateLimiter) -> None:
        """So many in flight; `creates` is shared by all lanes to the same account."""
        self.concurrency = concurrency
        self.creates = creates
        self.landing = asyncio.Semaphore(concurrency)
        """Held while a picture is fetched and stored, so that memory is bounded."""
        self._places = asyncio.Semaphore(concurrency)

    def slot(self) -> Slot:
        """A place among the predictions in flight, not taken yet."""
        return Slot(self._places)


class Slot:
    """Taken while a prediction runs, and given to the next one as soon as it has ended."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        """One of these."""
        self._places = places
        self._is_taken = False

    async def acquire(self) -> None:
        """Wait until there is one; nothing where it is taken already."""
        if not self._is_taken:
            await self._places.acquire()
            self._is_taken = True

    def release(self) -> None:
        """Give it to the next one; nothing where it is not taken."""
        if self._is_taken:
            self._places.release()
            self._is_taken = False


class OutcomeWatch(Protocol):
    """Told how each job ended."""

    def note(self, *, failed: bool) -> None:
        """Count one finished job.

        Raises:
            BatchStopped: Too many of the last jobs failed.
        """


class FailureWatch:
    """Notices when most of the last finished jobs failed."""

    def __init__(self, *, rate: float, window: int) -> None:
        """Trip at a share of `rate` failures over the last `window` finished jobs."""
        self._rate = rate
        self._last: deque[bool] = deque(maxlen=window)

    def note(self, *, failed: bool) -> None:
        """Count one finished job.

        Raises:
            BatchStopped: Too many of the last jobs failed.
        """
        self._last.append(failed)
        if len(self._last) == self._last.maxlen:
            check_failures(sum(self._last), of=len(self._last), rate=self._rate)


def check_failures(failures: int, *, of: int, rate: float) -> None:
    """Pass while fewer than a share of `rate` of the last finished jobs failed.

    Raises:
        BatchStopped: More did.
    """
    if failures >= rate * of:
        raise BatchStopped(
            "error_rate",
            f"{failures} of the last {of} jobs failed, so the batch was stopped; "
            "see why with `imagen status`, then resume (stop.error_rate in the configuration sets the limit)",
        )
