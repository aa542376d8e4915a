"""Limits on creates: jobs in flight, creates a minute, and the rate of failures. `tasks.generate.budget` adds the cap.

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
    """Limits of one backend: predictions in flight, images being stored, creates a minute."""

    def __init__(self, *, concurrency: int, creates: CreateLimiter) -> None:
        """Allow `concurrency` jobs in flight; backends of one account share `creates`."""
        self.concurrency = concurrency
        self.creates = creates
        self.landing = asyncio.Semaphore(concurrency)
        """Held while an image is fetched and stored, which bounds memory."""
        self._places = asyncio.Semaphore(concurrency)

    def slot(self) -> Slot:
        """Make a slot that is not acquired yet."""
        return Slot(self._places)


class Slot:
    """One of the predictions in flight: acquired while it runs, released as soon as it has ended."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        """Make a slot of this pool."""
        self._places = places
        self._is_taken = False

    async def acquire(self) -> None:
        """Wait for a free slot; a second call does nothing."""
        if not self._is_taken:
            await self._places.acquire()
            self._is_taken = True

    def release(self) -> None:
        """Free the slot for the next job; a second call does nothing."""
        if self._is_taken:
            self._places.release()
            self._is_taken = False


class OutcomeWatch(Protocol):
    """Watches how jobs end."""

    def note(self, *, failed: bool) -> None:
        """Count one finished job.

        Raises:
            BatchStopped: Too many of the last jobs failed.
        """


class FailureWatch:
    """Stops the batch when too many of the last finished jobs failed."""

    def __init__(self, *, rate: float, window: int) -> None:
        """Allow a share of `rate` failures among the last `window` finished jobs."""
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
    """Check that fewer than a share of `rate` of the last finished jobs failed.

    Raises:
        BatchStopped: More failed.
    """
    if failures >= rate * of:
        raise BatchStopped(
            "error_rate",
            f"{failures} of the last {of} jobs failed, so the batch was stopped; "
            "see why with `imagen status`, then resume (stop.error_rate in the configuration sets the limit)",
        )
