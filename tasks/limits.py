"""What holds submits back: jobs in flight, creates a minute, the budget, and the rate of failures.

One `Lane` for each backend and one `Budget` for each batch, shared by all shards of a process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tasks.errors import BatchStopped
from tasks.records import usd


class Lane:
    """The way to one backend: so many jobs in flight, so many creates a minute."""

    def __init__(
        self,
        *,
        concurrency: int,
        creates_per_min: float | None,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Limits of one backend; `now` (monotonic seconds) and `sleep` are the caller's clock."""
        self.concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._interval_s = 60 / creates_per_min if creates_per_min else 0.0
        self._next_create_at = 0.0
        self._now = now
        self._sleep = sleep

    @asynccontextmanager
    async def in_flight(self) -> AsyncIterator[None]:
        """Hold one of the backend's places for the duration of the block."""
        async with self._slots:
            yield

    async def may_create(self) -> None:
        """Wait until one more create keeps the rate; creates are spaced evenly, first come first served."""
        if not self._interval_s:
            return
        start = max(self._now(), self._next_create_at)
        self._next_create_at = start + self._interval_s
        if (wait_s := start - self._now()) > 0:
            await self._sleep(wait_s)


class Budget:
    """A hard cap over the batch's whole life: a price is reserved before its submit, then settled."""

    def __init__(self, *, cap_micros: int | None, committed_micros: int) -> None:
        """Start from the cap (None: no cap) and what earlier runs have spent or may have spent."""
        self._cap_micros = cap_micros
        self._committed_micros = committed_micros

    @property
    def capped(self) -> bool:
        """Whether there is a cap at all."""
        return self._cap_micros is not None

    def check_estimate(self, micros: int) -> None:
        """Refuse a plan whose estimate goes beyond the cap.

        Raises:
            BatchStopped: It does. Nothing was spent.
        """
        if self._cap_micros is not None and self._committed_micros + micros > self._cap_micros:
            raise BatchStopped(
                "budget",
                f"the estimate is {_dollars(micros)}, but of the budget of {_dollars(self._cap_micros)} only "
                f"{_dollars(max(0, self._cap_micros - self._committed_micros))} is left; nothing was sent. "
                "Raise --budget or take fewer jobs with --limit",
            )

    def reserve(self, micros: int | None) -> None:
        """Set aside the price of one attempt.

        Raises:
            BatchStopped: The budget does not hold it, or the price is not known while there is a cap.
        """
        if self._cap_micros is not None and micros is None:
            raise BatchStopped("budget", "a job has no known price, so --budget cannot be kept: set price_usd")
        if self._cap_micros is not None and self._committed_micros + (micros or 0) > self._cap_micros:
            raise BatchStopped(
                "budget", f"the budget of {_dollars(self._cap_micros)} is used up; raise --budget and resume"
            )
        self._committed_micros += micros or 0

    def settle(self, *, reserved_micros: int | None, cost_micros: int | None) -> None:
        """Replace a reservation by the true cost; with an unknown cost the reservation stays."""
        if cost_micros is not None:
            self._committed_micros += cost_micros - (reserved_micros or 0)


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
        failures = sum(self._last)
        if len(self._last) == self._last.maxlen and failures >= self._rate * len(self._last):
            raise BatchStopped(
                "error_rate",
                f"{failures} of the last {len(self._last)} jobs failed, so the batch was stopped; "
                "see why with `imagen status`, then resume (stop.error_rate in the configuration sets the limit)",
            )


def _dollars(micros: int) -> str:
    return f"${usd(micros):,.2f}"
