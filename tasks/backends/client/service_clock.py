"""The service's clock, read from the `Date` of its answers: this machine's clock may be wrong, or be put right."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from statistics import median_low

import httpx

from tasks.backends.client.answers import get_date
from tasks.core.clock import to_instant
from tasks.core.errors import Ambiguous

RECENT = 15
"""Answers whose time counts: one odd `Date` among them moves nothing."""
MOST_APART = timedelta(minutes=15)
"""Answers whose times are further apart than this are not two clocks that differ: one of them is odd."""
WHOLE_SECOND_S = 1.0
"""`Date` has whole seconds."""
MOST_LEAD = timedelta(days=1)
"""By how much a look-up may begin earlier for a clock that is ahead: the list of more than a day is too long to read."""


def find_lead(service_us: int, own_us: int) -> timedelta:
    """By how much a service's time is ahead of this machine's: a look-up begins so much earlier.

    Raises:
        Ambiguous: By more than `MOST_LEAD`, so nobody can tell when something was made.
    """
    # Whichever of the two is wrong: what was created before the look-up's begin would count as never made.
    lead = max(timedelta(0), timedelta(microseconds=service_us - own_us))
    if lead > MOST_LEAD:
        reason = f"the service's clock and this machine's are {lead.days} days apart, so no list can tell"
        raise Ambiguous(reason, cost_micros=None)
    return lead


class ServiceClock:
    """Time at a service; it goes on with a monotonic clock between two answers."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """Know nothing until the first answer."""
        self.monotonic_s = monotonic_s
        self._offsets_s: deque[float] = deque(maxlen=RECENT)
        self._one_question = asyncio.Lock()

    async def hear(self, answer: httpx.Response) -> None:
        """Take the time of an answer; an event hook of httpx."""
        self.take(answer)

    def take(self, answer: httpx.Response) -> None:
        """Take the time of an answer. `Date` has whole seconds, so the clock is late by up to one of them."""
        # Kept as a difference to the monotonic clock: the machine's own clock may be set while a batch runs.
        if (date := get_date(answer)) is not None:
            self._offsets_s.append(date.timestamp() - self.monotonic_s())

    def now_us(self) -> int | None:
        """Microseconds since 1970 UTC, never early; None before an answer told the time."""
        if not self._offsets_s:
            return None
        # Every true one is late, by a second or by a slow answer; one that is ahead would hide what was just created.
        earliest_s = median_low(self._offsets_s) - MOST_APART.total_seconds()
        offset_s = min(found for found in self._offsets_s if found >= earliest_s)
        return round((self.monotonic_s() + offset_s) * 1e6)

    def latest_us(self) -> int | None:
        """As `now_us`, but never late by more than an answer was under way."""
        if not self._offsets_s:
            return None
        latest_s = median_low(self._offsets_s) + MOST_APART.total_seconds()
        offset_s = max(found for found in self._offsets_s if found <= latest_s)
        return round((self.monotonic_s() + offset_s + WHOLE_SECOND_S) * 1e6)

    async def read_us(self, ask: Callable[[], Awaitable[None]], since: datetime | None = None) -> int | None:
        """As `now_us`, after a call to the service where no answer has told the time yet.

        Args:
            ask: Makes a call that costs nothing; its answer is heard.
            since: An instant that was the service's time before. What answers told until now is out of date where it
                is earlier: the call is made too, and the newest answer alone counts.
        """
        # Every job of a batch wants the time at its start: the first one asks, the others wait for its answer.
        async with self._one_question:
            if self._is_known(since):
                return self.now_us()
            # Without an answer the time stays unknown, and this machine's clock has to do.
            with suppress(httpx.HTTPError):
                await ask()
            now_us = self.now_us()
            # A machine that slept, or an answer that lay unread for minutes, leaves a clock that is late by as much.
            return now_us if now_us is None or self._is_known(since) else max(now_us, self._read_newest_us())

    def _is_known(self, since: datetime | None) -> bool:
        now_us = self.now_us()
        return now_us is not None and (since is None or since <= to_instant(now_us))

    def _read_newest_us(self) -> int:
        return round((self.monotonic_s() + self._offsets_s[-1]) * 1e6)
