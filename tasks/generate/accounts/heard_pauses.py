"""The rate of an account without a known limit: each process keeps its own, and hears the pauses that others were told.

Nobody waits for another batch: a pause ends at the instant that the service stated. A job that has waited for one that was
heard is sent then, whatever has been heard meanwhile, so batches that are refused in turn cannot hold each other up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from sqlalchemy.exc import DBAPIError

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped
from tasks.generate.decisions import REFUSAL_PATIENCE_S
from tasks.ledger.accounts.pace.pauses import read_pause_s, tell_pause
from tasks.ledger.database.writer import LedgerWriter

LISTEN_EVERY_S = 0.5
"""Seconds between two looks for pauses."""
LISTEN_TIMEOUT_S = 2.0
"""Seconds that a look may take: where the others cannot be heard, their pauses are met by 429s, which cost nothing."""


class HearingRateLimiter(RateLimiter):
    """A process's own rate, which also pauses when another batch on the account was told to."""

    def __init__(
        self, writer: LedgerWriter, account: str, *, clock: Clock, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Keep to the pauses of `account`; `sleep` ends with the batch."""
        super().__init__(None, now=clock.monotonic_s, sleep=sleep)
        self._writer = writer
        self._account = account
        self._clock = clock
        self._listening = asyncio.Lock()
        self._listened_at_s = self._heard_until_s = -math.inf
        self._tellings: set[asyncio.Task[None]] = set()

    async def acquire(self) -> float:
        """Wait for the next turn, and for at most one pause of others."""
        turn_s = await super().acquire()
        if (pause_s := await self._listen()) > 0:
            self.pause(pause_s)
            turn_s = await super().acquire()
        return turn_s

    def record_throttle(self, sent_at_s: float, *, retry_after_s: float | None, per_min: float | None) -> None:
        """As `RateLimiter.record_throttle`; a pause that the service states is told to the others."""
        super().record_throttle(sent_at_s, retry_after_s=retry_after_s, per_min=per_min)
        # A longer one stops the batch that is told of it, and the others are told by the service itself.
        if retry_after_s is not None and 0 < retry_after_s <= REFUSAL_PATIENCE_S:
            task = asyncio.create_task(self._tell(retry_after_s))
            self._tellings.add(task)
            task.add_done_callback(self._tellings.discard)

    async def close(self) -> None:
        """Tell what nobody waited for."""
        await asyncio.gather(*self._tellings)

    async def _listen(self) -> float:
        """Seconds of pause that others were told of, as far as they are known."""
        # Whoever comes during a look waits for its answer, or a batch would begin with a burst into the pause.
        async with self._listening:
            if self._now() - self._listened_at_s >= LISTEN_EVERY_S:
                pause_s = await self._read()
                self._listened_at_s = self._now()
                self._heard_until_s = self._listened_at_s + pause_s
        return self._heard_until_s - self._now()

    async def _read(self) -> float:
        read = partial(read_pause_s, account=self._account, now_s=self._clock.since_boot_s())
        try:
            async with asyncio.timeout(LISTEN_TIMEOUT_S):
                pause_s = await self._writer.write(read)
        except (DBAPIError, OSError, BatchStopped):
            return 0.0
        # An instant far ahead is of another clock: before the machine was started anew.
        return pause_s if pause_s <= REFUSAL_PATIENCE_S else 0.0

    async def _tell(self, pause_s: float) -> None:
        telling = partial(tell_pause, account=self._account, pause_s=pause_s, now_s=self._clock.since_boot_s())
        with suppress(DBAPIError, OSError, BatchStopped):  # they meet their own 429s
            await self._writer.write(telling)
