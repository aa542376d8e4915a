"""Limits on creates: jobs in flight, creates a minute, and the rate of failures. `tasks.generate.budget` adds the cap.

One `BackendLimits` for each backend, shared by all shards of a process. Where several processes share a batch, `tasks.generate.workers`
keeps the rates and the failures for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Protocol

from tasks.backends.client.rate_limiter import CreateLimiter
from tasks.core.clock import learn_time, to_instant
from tasks.core.errors import BatchStopped, JobError, Throttled
from tasks.core.records import Job
from tasks.core.safe_text import error_text
from tasks.generate.decisions import REFUSAL_PATIENCE_S
from tasks.generate.slots.by_shape import PlacesByShape, PlacesOfShape, get_shape
from tasks.generate.slots.slot import Slot

LOOKED_FOR_EACH_SLOT = 2
"""Lost creates that are looked for without a slot, for each slot of a backend. A create that made nothing is looked for during 20 s:
with images of 0.3 s and one slot lent for each, 2 % of them held a third of the slots. A service in trouble loses every create,
so there is an end to it."""
OPEN_FOR_EACH_SLOT = 2 + LOOKED_FOR_EACH_SLOT
"""Open jobs for each slot: one runs, one waits, and those that are looked for."""
MOST_IN_MEMORY = 16
"""Images of one backend whose bytes are in memory at once: PNGs of 1.4 MB take 50 MB with their copies, and so many downloads
side by side fill a line of 350 Mbit/s even where each takes half a second."""


class BackendLimits:
    """Limits of one backend: predictions in flight, images being stored, creates a minute."""

    def __init__(
        self, *, concurrency: int, creates: CreateLimiter, now: Callable[[], float], by_shape: bool = False
    ) -> None:
        """Allow `concurrency` jobs in flight.

        Args:
            concurrency: Jobs in flight at most.
            creates: Shared by the backends of one account.
            now: Monotonic seconds.
            by_shape: Jobs of one shape go together.
        """
        self.concurrency = concurrency
        self.creates = creates
        self.refusals = Refusals(now)
        self.landing = asyncio.Semaphore(concurrency)
        """Held from an image's end until it is stored: while images cannot land, no more are paid for."""
        # Beside `landing`: an image whose host fails waits for its next try outside, with no bytes in memory.
        self.in_memory = asyncio.Semaphore(min(concurrency, MOST_IN_MEMORY))
        """Held while the bytes of an image are in memory."""
        self._places = asyncio.Semaphore(concurrency)
        self._by_shape = PlacesByShape(concurrency) if by_shape else None
        self._lookups = asyncio.Semaphore(LOOKED_FOR_EACH_SLOT * concurrency)
        self._usual_s: float | None = None
        self.taken = 0
        """Slots that are acquired."""
        self.lent = 0
        """Slots that jobs have lent to others while their lost creates are looked for."""

    def learn_time(self, seconds: float) -> None:
        """Take the time of one prediction, from its create to its end, into the estimate of the next one's."""
        self._usual_s = seconds if self._usual_s is None else learn_time(self._usual_s, seconds)

    @asynccontextmanager
    async def lend_slot(
        self, slot: Slot, *, estimate_s: float, sleep: Callable[[float], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Free a job's slot while its lost create is looked for in the block, which takes many times a prediction's time.

        As long as a prediction usually runs, the lost one counts as in flight.

        Args:
            slot: The job's; whoever sends again acquires it again.
            estimate_s: Seconds for which a prediction runs, while none of this run has ended.
            sleep: The caller's clock.
        """
        after_s = estimate_s if self._usual_s is None else self._usual_s
        lending = asyncio.create_task(self._lend(slot, after_s, sleep))
        try:
            yield
        finally:
            lending.cancel()

    async def _lend(self, slot: Slot, after_s: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        await sleep(after_s)
        async with self._lookups:
            slot.release()
            self.lent += 1
            try:
                # Until cancelled, when the look-up is over.
                await asyncio.Event().wait()
            finally:
                self.lent -= 1

    def make_slot(self, job: Job | None = None) -> Slot:
        """Make a slot for a job that is not acquired yet."""
        if self._by_shape is None or job is None:
            return Slot(self._places, self._count)
        return Slot(PlacesOfShape(self._by_shape, get_shape(job)), self._count)

    def _count(self, change: int) -> None:
        self.taken += change


class Refusals:
    """Measures how long a service has answered every create with 429 while nothing of ours was running there."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Start without any; `now` is monotonic seconds."""
        self._now = now
        self._running = 0
        self._since_s: float | None = None

    @property
    def lasting_s(self) -> float:
        """Seconds since the first of them; 0 while a prediction runs, because its end may make room."""
        return 0.0 if self._since_s is None or self._running else self._now() - self._since_s

    def record_success(self) -> None:
        """Note a create that was accepted."""
        self._since_s = None

    def record_refusal(self) -> None:
        """Note a create that was answered with 429."""
        if self._since_s is None:
            self._since_s = self._now()

    @contextmanager
    def track_running(self) -> Iterator[None]:
        """Count a prediction as running in the block."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            # What ended may have made room, so patience starts anew.
            if self._since_s is not None:
                self._since_s = self._now()


def build_refused_stop(backend: str, error: JobError, *, now_us: int) -> BatchStopped:
    """Build the stop for a service that accepts nothing, in its own words."""
    asked_s = error.retry_after_s if isinstance(error, Throttled) else None
    if asked_s is not None and asked_s > REFUSAL_PATIENCE_S:
        until = to_instant(now_us) + timedelta(seconds=asked_s)
        what = f"asks to wait until {until:%Y-%m-%d %H:%M} UTC"
    else:
        what = f"has accepted nothing for {REFUSAL_PATIENCE_S / 60:.0f} minutes"
    words = error_text(error).rstrip(".")
    return BatchStopped("throttled", f"backend {backend!r} {what} ({words}). Resume when it accepts requests again")


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
        # Not before the window is full: two early failures of three are no trend.
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
