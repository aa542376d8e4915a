"""How fast calls may leave: evenly spaced, slowed down by the provider, and sped up again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

CATCH_UP_S = 0.25
"""Lateness of the event loop that is made up for, so that the allowed rate is used in full."""


CUT = 0.75


STATED_SHARE = 0.97
"""Of a rate that the provider states: room for the way there to take now longer, now shorter."""


CLIMB, CLIMB_AFTER, CLIMB_AFTER_STATED = 1.1, 5, 25
"""A step up of a tenth after so many calls that were let through; beyond a stated limit few calls probe. With 5, calls
that are refused at random (one in twenty) do not starve the batch."""


DEFAULT_PAUSE_S = 2.0


SLOWEST_START_PER_MIN = 6_000.0
"""What an unlimited rate counts as when it has to be cut."""


class CreateLimiter(Protocol):
    """When the next create may leave: kept by one process (`RateLimiter`), or by many together."""

    async def acquire(self) -> float:
        """Wait until one more call keeps the rate.

        Returns:
            The instant of leaving, for `throttled`.

        Raises:
            BatchStopped: No more may be created.
        """

    def record_success(self) -> None:
        """Note a call that was let through."""

    def record_throttle(self, sent_at_s: float, *, retry_after_s: float | None, per_min: float | None) -> None:
        """Note a call that came too soon, how long to wait, and the lower rate where the provider states one."""


class RateLimiter:
    """So many calls a minute: evenly spaced, cut when the provider says so, climbing back when it does not."""

    def __init__(
        self, per_min: float | None, *, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Keep to `per_min` (None: no limit); `now` (monotonic seconds) and `sleep` are the caller's clock."""
        self._most_per_min = per_min or math.inf
        self._per_min = self._most_per_min
        self._next_at = -math.inf
        self._turn = asyncio.Lock()
        self._cut_at = self._paused_until = -math.inf
        self._catch_up_s = CATCH_UP_S
        self._climb_after = CLIMB_AFTER
        self._since_cut = 0
        self._now = now
        self._sleep = sleep

    @property
    def per_min(self) -> float:
        """The rate that is kept now."""
        return self._per_min

    @property
    def is_slowed(self) -> bool:
        """Whether the provider has cut the rate, and it has not climbed back yet."""
        return self._per_min < self._most_per_min

    @property
    def pause_s(self) -> float:
        """Seconds until the provider takes calls again; 0 where it asks for no pause."""
        return max(0.0, self._paused_until - self._now())

    async def acquire(self) -> float:
        """Wait until one more call keeps the rate, first come first served.

        Returns:
            The monotonic instant of leaving, for `throttled`.
        """
        async with self._turn:
            # Asked again after each wait: meanwhile the provider may have said to come later.
            while (wait_s := self._next_at - self._now()) > 0:
                await self._sleep(wait_s)
            left_at_s = self._now()
            # What the event loop was late is made up for at once; a longer pause is not saved up for a burst.
            self._next_at = max(self._next_at, left_at_s - self._catch_up_s) + 60 / self._per_min
            return left_at_s

    def record_success(self) -> None:
        """Note a call that was let through; after enough of them the rate climbs by a step."""
        self._since_cut += 1
        if self._since_cut >= self._climb_after and self._per_min < self._most_per_min:
            self._since_cut = 0
            self._per_min = min(self._most_per_min, self._per_min * CLIMB)

    def record_throttle(self, sent_at_s: float, *, retry_after_s: float | None, per_min: float | None) -> None:
        """Note a call that came too soon.

        Nothing leaves before the provider's time; the rate is cut once for a burst, to what the provider states
        where it does.
        """
        now_s = self._now()
        pause_s = DEFAULT_PAUSE_S if retry_after_s is None else retry_after_s
        self._next_at = max(self._next_at, now_s + pause_s)
        self._paused_until = max(self._paused_until, now_s + pause_s)
        self._since_cut = 0
        if sent_at_s > self._cut_at:
            self._cut_at = now_s
            if per_min is None:
                self._per_min = min(self._per_min, SLOWEST_START_PER_MIN) * CUT
            else:
                # A stated limit has a burst of 1: what comes a moment early is refused.
                self._per_min, self._catch_up_s = min(self._most_per_min, per_min * STATED_SHARE), 0.0
                self._climb_after = CLIMB_AFTER_STATED
