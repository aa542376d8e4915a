"""One account's creates over all processes: a `RateLimiter` whose state is in the place that they share.

A process takes the turns of the next moment together, so it asks a few times a second and no turn waits for an answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from sqlalchemy.exc import DBAPIError

from tasks.backends.client.rate_limiter import (
    CATCH_UP_S,
    CLIMB,
    CLIMB_AFTER,
    CLIMB_AFTER_STATED,
    CUT,
    DEFAULT_PAUSE_S,
    SLOWEST_PER_MIN,
    SLOWEST_START_PER_MIN,
    RateLimiter,
    bound_stated_rate,
)
from tasks.core.clock import Clock
from tasks.core.display import current_display
from tasks.core.errors import BatchStopped
from tasks.core.safe_text import database_error_text
from tasks.generate.accounts.membership import Membership
from tasks.ledger.accounts.pace.fairness import Member
from tasks.ledger.accounts.pace.turns import Cut, Question, Rules, cut_pace, leave, take_turns, tell
from tasks.ledger.database.writer import LedgerWriter, Result, Transaction

UNLIMITED_PER_MIN = 60_000.0
"""Stands for a higher limit too: more than any service answers, so nobody waits before the first 429. A multiple of it would
be as many turns that are taken and dropped unused."""
TELL_S = 1.0
"""Seconds between the words of a process by which the others know that it lives."""
_RULES = Rules(catch_up_s=CATCH_UP_S, climb=CLIMB, climb_after=CLIMB_AFTER, plenty_per_min=UNLIMITED_PER_MIN)


class AccountRateLimiter:
    """Calls a minute of all processes together; behaves like `tasks.backends.client.rate_limiter.RateLimiter`."""

    def __init__(
        self, writer: LedgerWriter, member: Membership, *, clock: Clock, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Keep to the pace of the member's account; `sleep` ends with the batch."""
        self._writer = writer
        self._member = member
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._turns: deque[float] = deque()
        """Instants of the shared clock."""
        self._ahead_of_us_s = 0.0
        """The shared clock less ours."""
        self._accepted = 0
        self._cuts: set[asyncio.Task[None]] = set()
        self._per_min = member.per_min
        self._paused_until_s = 0.0
        self._telling: asyncio.Task[None] | None = None
        self._alone: RateLimiter | None = None
        """Keeps the rate once the others cannot be met any more."""

    @property
    def per_min(self) -> float:
        """The present rate of the account."""
        return self._per_min if self._alone is None else self._alone.per_min

    @property
    def is_slowed(self) -> bool:
        """True while the rate is below its limit because of somebody's 429."""
        return self.per_min < self._member.per_min

    @property
    def pause_s(self) -> float:
        """Seconds until the provider accepts calls again; 0 without a pause."""
        if self._alone is not None:
            return self._alone.pause_s
        return max(0.0, self._paused_until_s - self._read_shared_clock_s())

    async def acquire(self) -> float:
        """Wait for the next turn, first come first served within a process.

        Returns:
            The turn's instant, for `record_throttle`.

        Raises:
            BatchStopped: The batch stops, or the server that all meet on stays away.
        """
        self._waiting += 1
        try:
            # One question at a time; the lock's queue is also the order of the jobs.
            async with self._turn:
                while self._alone is None:
                    # A cut that is still on its way would be overtaken by turns at the old rate.
                    await self._wait_for_cuts()
                    self._drop_late_turns()
                    wait_s = self._turns[0] - self._read_shared_clock_s() if self._turns else await self._take_turns()
                    if wait_s > 0:
                        await self._sleep(wait_s)
                    elif self._turns:
                        return self._turns.popleft()
                return await self._alone.acquire()
        finally:
            self._waiting -= 1

    def record_success(self) -> None:
        """Note a call that was let through; the next question takes it along."""
        self._accepted += 1
        if self._alone is not None:
            self._alone.record_success()

    def record_throttle(self, sent_at_s: float, *, retry_after_s: float | None, per_min: float | None) -> None:
        """Note a call that came too soon: all processes wait, and the rate is cut once for a burst."""
        if self._alone is not None:
            self._alone.record_throttle(sent_at_s, retry_after_s=retry_after_s, per_min=per_min)
            return
        # They were counted at the old rate.
        self._turns.clear()
        self._accepted = 0
        pause_s = DEFAULT_PAUSE_S if retry_after_s is None else retry_after_s
        self._paused_until_s = max(self._paused_until_s, self._read_shared_clock_s() + pause_s)
        cut = Cut(
            account=self._member.use.allowance.account,
            sent_at_s=sent_at_s,
            pause_s=pause_s,
            now_s=self._clock.since_boot_s(),
            factor=CUT,
            highest_per_min=SLOWEST_START_PER_MIN,
            slowest_per_min=SLOWEST_PER_MIN,
            stated_per_min=None if per_min is None else bound_stated_rate(per_min),
            climb_after_stated=CLIMB_AFTER_STATED,
        )
        # Kept, or the loop may collect the task; the next turn waits for it.
        self._cuts.add(asyncio.create_task(self._write(partial(cut_pace, cut=cut))))

    async def close(self) -> None:
        """Leave the account to the others at once; a process that is killed leaves it after seconds."""
        if self._telling is None:
            return
        self._telling.cancel()
        left = partial(leave, account=self._member.use.allowance.account, member=self._member.name)
        with suppress(BatchStopped):  # it is over, and the others notice
            await self._wait_for_cuts()
            await self._write(left)

    def _count_in_flight(self) -> int:
        # Jobs that wait for a turn hold a place, and have nothing in flight unless a turn is in hand.
        without_turn = max(0, self._waiting - len(self._turns))
        return max(0, self._member.use.count_taken() - without_turn)

    async def _tell(self) -> None:
        """Keep the membership alive while nobody here asks for turns."""
        account, name = self._member.use.allowance.account, self._member.name
        while True:
            # The loop's own time: a clock that a test moves must not run away here.
            await asyncio.sleep(TELL_S)
            told = partial(tell, account=account, member=name, in_flight=self._count_in_flight(), waiting=self._waiting)
            with suppress(BatchStopped):  # the next turn tells it
                await self._write(partial(told, now_s=self._clock.since_boot_s()))

    async def _take_turns(self) -> float:
        """Take the turns of the next moment, if any; returns the seconds to wait."""
        accepted, self._accepted = self._accepted, 0
        question = Question(
            account=self._member.use.allowance.account,
            me=Member(
                name=self._member.name,
                most_per_min=self._member.per_min,
                weight=self._member.weight,
                used=0.0,
                waiting=self._waiting,
                in_flight=self._count_in_flight(),
                concurrency=self._member.use.count_places(),
            ),
            accepted=accepted,
            now_s=self._clock.since_boot_s(),
            rules=_RULES,
        )
        taken = await self._write(partial(take_turns, question=question))
        if taken is None:
            return 0.0
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())
        # Measured with each answer: a server's clock and ours drift, and a laptop sleeps.
        self._ahead_of_us_s = taken.now_s - self._clock.since_boot_s()
        self._per_min = taken.per_min
        self._turns.extend(taken.at_s)
        return self._turns[0] - self._read_shared_clock_s() if self._turns else taken.wait_s

    def _drop_late_turns(self) -> None:
        """Drop turns that are long past: a process that was held up must not catch up in a burst."""
        oldest_s = self._read_shared_clock_s() - CATCH_UP_S
        while self._turns and self._turns[0] < oldest_s:
            self._turns.popleft()

    async def _wait_for_cuts(self) -> None:
        while self._cuts:
            cut_task = next(iter(self._cuts))
            self._cuts.discard(cut_task)
            await cut_task

    async def _write(self, transaction: Transaction[Result]) -> Result | None:
        """Write to the place that all share; None where that is not possible any more, and the run goes on alone."""
        try:
            return await self._writer.write(transaction)
        except (DBAPIError, OSError) as exc:
            self._go_alone(database_error_text(exc))
            return None

    def _go_alone(self, words: str) -> None:
        if self._alone is not None:
            return
        # A full disk of the state folder is no reason to stop: whoever is too fast gets 429s, which cost nothing.
        current_display.get().warn(
            f"the pace of the account holds for this run alone from now on, because it cannot be shared ({words})"
        )
        per_min = None if self._member.per_min >= UNLIMITED_PER_MIN else self._member.per_min
        self._alone = RateLimiter(per_min, now=self._read_shared_clock_s, sleep=self._sleep)

    def _read_shared_clock_s(self) -> float:
        return self._clock.since_boot_s() + self._ahead_of_us_s
