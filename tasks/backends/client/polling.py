"""Waiting for one prediction at a time: the first look when it may have ended, then ever more seldom.

A look costs nothing, so trouble with it says nothing about the prediction: it is looked at again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx

from tasks.backends.client.answers import read_retry_after
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.core.clock import Clock, learn_time

FIRST_LOOK_SHARE = 1.1
"""Of the usual time: most have ended then, and one look is enough."""
NEXT_LOOK_SHARE = 0.25
"""Of the usual time, until the next look."""
NEXT_LOOK_AGE_SHARE = 0.15
"""Of its age: what takes ten times as long as usual is looked at seldom."""
# Seconds; even a model that takes milliseconds is not asked more than ten times a second.
SHORTEST_PAUSE_S = 0.1
# A prediction of hours is still noticed within a minute.
LONGEST_PAUSE_S = 60.0
FIRST_TROUBLE_PAUSE_S = 0.1
"""After a look that failed: one answer in a hundred may, and what has ended meanwhile waits for the next look."""
TROUBLE_PAUSE_S = 2.0
"""After several in a row, at most: long enough for a restart of the service's proxy, short beside a prediction."""
# Only the first look's time is an upper bound of the real one, so the estimate has to be lowered to find out.
QUICKER_AT_FIRST, QUICKER = 0.8, 0.97
"""Factors by which the estimate shrinks when the first look finds an end: boldly until a look was too early."""

Ended = TypeVar("Ended")


@dataclass(slots=True)
class Polling:
    """Waits for the predictions of one backend."""

    limiter: RateLimiter
    clock: Clock
    usual_s: float
    """Running estimate of a prediction's time."""
    _was_early: bool = False
    """True if a look at a new prediction has found it running."""

    async def until(self, look: Callable[[], Awaitable[Ended | None]], *, timeout_s: float, is_fresh: bool) -> Ended:
        """Poll until `look` returns something other than None, and return it.

        Args:
            look: Asks once. Of its errors httpx's own mean that nothing is known; any other one ends the waiting.
            timeout_s: The longest wait.
            is_fresh: It was created just now; another one may have ended long ago.

        Raises:
            TimeoutError: It has not ended after so many seconds.
        """
        begun_s = self.clock.monotonic_s()
        # A prediction of an earlier run may have ended long ago, so it is looked at without a pause.
        pause_s = self.usual_s * FIRST_LOOK_SHARE if is_fresh else 0.0
        looks = failed = 0
        while True:
            left_s = begun_s + timeout_s - self.clock.monotonic_s()
            if left_s <= 0:
                raise TimeoutError
            await self.clock.sleep(min(pause_s, left_s))
            await self.limiter.acquire()
            try:
                ended = await look()
            except httpx.HTTPError as exc:
                # The look failed, not the prediction: its time keeps running, and only the look is repeated.
                failed += 1
                pause_s = _choose_pause_s(exc, failed)
                continue
            looks, failed = looks + 1, 0
            age_s = self.clock.monotonic_s() - begun_s
            # An old prediction's age here is the time since this process began to wait, which teaches nothing.
            if is_fresh:
                self._learn(age_s, has_ended=ended is not None, looks=looks)
            if ended is not None:
                return ended
            wanted_s = max(SHORTEST_PAUSE_S, self.usual_s * NEXT_LOOK_SHARE, age_s * NEXT_LOOK_AGE_SHARE)
            pause_s = min(LONGEST_PAUSE_S, wanted_s)

    def _learn(self, age_s: float, *, has_ended: bool, looks: int) -> None:
        """Nobody says when a prediction ended, only that a look found it so."""
        if not has_ended:
            self._was_early = True
        # Found by a later look: it ended somewhere between the two, so its age is near enough.
        elif looks > 1:
            self.usual_s = learn_time(self.usual_s, age_s)
        else:
            self.usual_s *= QUICKER if self._was_early else QUICKER_AT_FIRST


def _choose_pause_s(exc: httpx.HTTPError, failed: int) -> float:
    if isinstance(exc, httpx.HTTPStatusError):
        if (after_s := read_retry_after(exc.response)) is not None:
            return after_s
        # Whoever is asked too often is not asked again at once.
        if exc.response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return TROUBLE_PAUSE_S
    return get_trouble_pause_s(failed)


def get_trouble_pause_s(failed: int) -> float:
    """Seconds until the next look when so many in a row have failed (1 or more): doubling, bounded."""
    # The exponent is bounded too: 2.0 ** 1024 overflows.
    return float(min(TROUBLE_PAUSE_S, FIRST_TROUBLE_PAUSE_S * 2 ** min(failed - 1, 10)))
