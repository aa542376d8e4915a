"""Rate limits of calls: evenly spaced, lowered by 429 responses, raised again afterwards."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

CATCH_UP_S = 0.25
"""Seconds of the event loop's lateness that are made up for, so the allowed rate is used in full."""


# Share of the rate that is left after a 429. Halving it would leave much of a large allowance unused.
CUT = 0.75


STATED_SHARE = 0.97
"""Share of a stated rate that is used: the way to the provider takes now longer, now shorter."""


CLIMB, CLIMB_AFTER, CLIMB_AFTER_STATED = 1.1, 5, 25
"""Raise the rate by a tenth after so many accepted calls; above a stated limit only few calls probe. With 5, a service
that refuses one call in twenty at random does not starve the batch."""


# Seconds, where a 429 states no pause: an even 30 calls a minute at worst.
DEFAULT_PAUSE_S = 2.0
SLOWEST_PER_MIN = 1.0
"""The rate is never lowered below this: a service that says "0 requests per minute" is asked once a minute."""


SLOWEST_START_PER_MIN = 6_000.0
"""The rate from which an unlimited one is lowered."""


class CreateLimiter(Protocol):
    """When the next create may leave, as one process keeps it (`RateLimiter`) or many together."""

    async def acquire(self) -> float:
        """Wait for the next turn.

        Returns:
            The turn's instant, for `record_throttle`.

        Raises:
            BatchStopped: No more may be created.
        """

    def record_success(self) -> None:
        """Note a call that the provider accepted."""

    def record_throttle(self, sent_at_s: float, *, retry_after_s: float | None, per_min: float | None) -> None:
        """Note a 429: how long to wait, and the lower rate where the provider states one."""


class RateLimiter:
    """Calls a minute: evenly spaced, lowered by a 429, climbing back while calls are accepted."""

    def __init__(
        self, per_min: float | None, *, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Keep to `per_min` (None for no limit); `now` (monotonic seconds) and `sleep` are the caller's clock."""
        # Infinity where there is no limit: the arithmetic below then gives pauses of zero.
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
        """The present rate."""
        return self._per_min

    @property
    def is_slowed(self) -> bool:
        """True while the rate is below its limit because of a 429."""
        return self._per_min < self._most_per_min

    @property
    def pause_s(self) -> float:
        """Seconds until the provider accepts calls again; 0 without a pause."""
        return max(0.0, self._paused_until - self._now())

    async def acquire(self) -> float:
        """Wait for the next turn, first come first served.

        Returns:
            The turn's monotonic instant, for `record_throttle`.
        """
        # The lock keeps the callers in their order, and makes the wait of one the wait of all.
        async with self._turn:
            # A 429 may have moved the next turn during the wait.
            while (wait_s := self._next_at - self._now()) > 0:
                await self._sleep(wait_s)
            left_at_s = self._now()
            # The event loop's lateness is made up for at once; a longer pause must not become a burst.
            self._next_at = max(self._next_at, left_at_s - self._catch_up_s) + 60 / self._per_min
            return left_at_s

    def record_success(self) -> None:
        """Note an accepted call; enough of them raise the rate by a step."""
        self._since_cut += 1
        if self._since_cut >= self._climb_after and self._per_min < self._most_per_min:
            # Counted anew for each step: the calls that were accepted at the old rate say nothing about the new one.
            self._since_cut = 0
            self._per_min = min(self._most_per_min, self._per_min * CLIMB)

    def pause(self, pause_s: float) -> None:
        """Give no turn for so many seconds."""
        until = self._now() + pause_s
        # A later 429 may state a shorter pause; the longer one still holds.
        self._next_at = max(self._next_at, until)
        self._paused_until = max(self._paused_until, until)

    def record_throttle(self, sent_at_s: float, *, retry_after_s: float | None, per_min: float | None) -> None:
        """Note a 429: pause as the provider asks, and lower the rate once for a burst, to a stated rate if there is one.

        Args:
            sent_at_s: The instant that `acquire` gave for the refused call.
            retry_after_s: Seconds to wait; None for the default.
            per_min: The rate that the provider states; None where it states none.
        """
        self.pause(DEFAULT_PAUSE_S if retry_after_s is None else retry_after_s)
        now_s, self._since_cut = self._now(), 0
        # A burst sends many calls before the first 429 is read. They are one overload, so the rate is cut once for all
        # of them.
        if sent_at_s > self._cut_at:
            self._cut_at = now_s
            if per_min is None:
                # An unlimited rate has no number to lower, so the cut begins at one that is high for any service.
                lowered = max(SLOWEST_PER_MIN, min(self._per_min, SLOWEST_START_PER_MIN) * CUT)
                self._per_min = min(self._most_per_min, lowered)
            else:
                # A stated limit allows no burst: a call that comes a moment early is refused.
                self._per_min, self._catch_up_s = min(self._most_per_min, bound_stated_rate(per_min)), 0.0
                self._climb_after = CLIMB_AFTER_STATED


def bound_stated_rate(per_min: float) -> float:
    """The rate to keep to where a service states one, which is outside data: at least `SLOWEST_PER_MIN`."""
    # "0 requests per minute" would stop the batch for ever; a few per cent below the rate keeps jitter from tripping
    # it.
    return max(SLOWEST_PER_MIN, per_min * STATED_SHARE)
