"""One account's creates over all worker processes: a `RateLimiter` whose state is a row of the database.

A worker takes the turns of the next moment together, so it asks the database a few times a second and no turn waits for
an answer. A killed worker loses its turns, which is at most `AHEAD_S` of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import ColumnElement, Double, Executable, Update, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.backends.client.rate_limiter import (
    CATCH_UP_S,
    CLIMB,
    CLIMB_AFTER,
    CLIMB_AFTER_STATED,
    CUT,
    DEFAULT_PAUSE_S,
    SLOWEST_PER_MIN,
    bound_stated_rate,
)
from tasks.generate.workers.schema import get_now_s, rates
from tasks.ledger.database.transactions import run_transaction

AHEAD_S = 0.25
"""Seconds for which turns are taken ahead: long beside a query, short beside the time that a 429 takes to reach all."""
LONGEST_WAIT_S = 5.0
"""Seconds after which a waiting worker asks again, because the batch may have stopped."""


class SharedRateLimiter:
    """Calls a minute of all workers together; behaves like `tasks.backends.client.rate_limiter.RateLimiter`."""

    def __init__(
        self,
        engine: AsyncEngine,
        account: str,
        per_min: float,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Keep to `per_min` for `account` (a digest, never a token); `now` (monotonic seconds) and `sleep` are ours."""
        self._engine = engine
        self._account = account
        self._per_min = per_min
        self._now = now
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._turns: deque[float] = deque()
        """Instants of the database's clock."""
        self._ahead_of_us_s: float | None = None
        """The database's clock less ours; None before the first answer."""
        self._accepted = 0
        self._cuts: set[asyncio.Task[None]] = set()

    async def acquire(self) -> float:
        """Wait for the next turn, first come first served within a worker.

        Returns:
            The turn's instant, for `throttled`.

        Raises:
            BatchStopped: The database cannot be used.
        """
        self._waiting += 1
        try:
            # One question at a time; the lock's queue is also the order of the jobs.
            async with self._turn:
                while True:
                    # A cut that is still on its way would be overtaken by turns at the old rate.
                    await self._wait_for_cuts()
                    self._drop_late_turns()
                    wait_s = self._turns[0] - self._read_database_clock_s() if self._turns else await self._take_turns()
                    if wait_s > 0:
                        await self._sleep(min(wait_s, LONGEST_WAIT_S))
                    elif self._turns:
                        return self._turns.popleft()
        finally:
            self._waiting -= 1

    def record_success(self) -> None:
        """Note a call that was let through; the next question takes it along."""
        self._accepted += 1

    def record_throttle(self, sent_at_s: float, *, retry_after_s: float | None, per_min: float | None) -> None:
        """Note a call that came too soon: all workers wait, and the rate is cut once for a burst."""
        # They were counted at the old rate.
        self._turns.clear()
        self._accepted = 0
        pause_s = DEFAULT_PAUSE_S if retry_after_s is None else retry_after_s
        cut_task = asyncio.create_task(self._write_cut(sent_at_s, pause_s, per_min))
        # Kept, or the loop may collect the task; the next turn waits for it.
        self._cuts.add(cut_task)

    def _drop_late_turns(self) -> None:
        """Drop turns that are long past: a process that was held up must not catch up in a burst."""
        while self._turns and self._turns[0] < self._read_database_clock_s() - CATCH_UP_S:
            self._turns.popleft()

    async def _wait_for_cuts(self) -> None:
        while self._cuts:
            cut_task = next(iter(self._cuts))
            self._cuts.discard(cut_task)
            await cut_task

    async def _take_turns(self) -> float:
        """Take the turns of the next moment, if any; returns the seconds to wait."""
        # No more than jobs wait for, or a killed or idle worker would take turns away from the others.
        wanted = max(1, min(self._waiting, int(self._per_min / 60 * AHEAD_S)))
        accepted, self._accepted = self._accepted, 0
        values = {"mine": self._account, "wanted": wanted, "accepted": accepted}
        taken = await run_transaction(self._engine, lambda db: _fetch_one(db, _TAKE, values))
        if taken is None:
            # The question changed nothing, so the count is still to be told.
            self._accepted += accepted
            return await self._compute_wait_s()
        # Measured with each answer: clocks drift, and a laptop sleeps.
        self._ahead_of_us_s = taken.now_s - self._now()
        self._per_min = taken.per_min
        step_s = 60 / taken.per_min
        self._turns.extend(taken.next_at_s - step_s * left for left in range(wanted, 0, -1))
        return self._turns[0] - self._read_database_clock_s()

    async def _compute_wait_s(self) -> float:
        known = await run_transaction(self._engine, lambda db: _fetch_one(db, _LOOK, {"mine": self._account}))
        if known is None:
            await run_transaction(self._engine, lambda db: db.execute(_build_first_row(self._account, self._per_min)))
            return 0.0
        # Half of it early, so that the turns are in hand when the first of them is due.
        return float(known.next_at_s - known.now_s) - AHEAD_S / 2

    async def _write_cut(self, sent_at_s: float, pause_s: float, per_min: float | None) -> None:
        values = {"mine": self._account, "sent_at": sent_at_s, "pause": pause_s}
        if per_min is None:
            await run_transaction(self._engine, lambda db: db.execute(_CUT, values))
        else:
            values["stated"] = bound_stated_rate(per_min)
            await run_transaction(self._engine, lambda db: db.execute(_CUT_TO_STATED, values))

    def _read_database_clock_s(self) -> float:
        """The database's clock now."""
        return self._now() + (self._ahead_of_us_s or 0.0)


async def _fetch_one(db: AsyncConnection, statement: Executable, values: dict[str, Any]) -> Any:
    return (await db.execute(statement, values)).one_or_none()


def _build_first_row(account: str, per_min: float) -> Insert:
    row = {
        "account": account,
        "most_per_min": per_min,
        "per_min": per_min,
        "catch_up_s": CATCH_UP_S,
        "climb_after": CLIMB_AFTER,
    }
    return insert(rates).values(row).on_conflict_do_nothing()


_MINE = rates.c.account == bindparam("mine")


def _build_take() -> Update:
    """Build the query that takes turns from the first free instant on; short lateness is made up for, pauses are not."""
    # In SQL, not here: workers that read and then write would undo each other's cut.
    since_cut = rates.c.since_cut + bindparam("accepted")
    climbs = (since_cut >= rates.c.climb_after) & (rates.c.per_min < rates.c.most_per_min)
    per_min = case((climbs, func.least(rates.c.most_per_min, rates.c.per_min * CLIMB)), else_=rates.c.per_min)
    first_at_s = func.greatest(rates.c.next_at_s, get_now_s() - rates.c.catch_up_s)
    return (
        update(rates)
        .where(_MINE & (rates.c.next_at_s <= get_now_s() + AHEAD_S))
        .values(
            per_min=per_min,
            since_cut=case((climbs, 0), else_=since_cut),
            next_at_s=first_at_s + bindparam("wanted", type_=Double) * 60 / per_min,
        )
        .returning(rates.c.next_at_s, rates.c.per_min, get_now_s().label("now_s"))
    )


def _build_cut(**values: ColumnElement[float] | float) -> Update:
    """Build the query that slows everybody down; a call that left before the last cut cuts no further."""
    # A burst of calls in flight is refused together; they tell of one overload.
    is_new = bindparam("sent_at", type_=Double) > rates.c.cut_at_s
    cut = {name: case((is_new, value), else_=rates.c[name]) for name, value in values.items()}
    pause_ends_s = get_now_s() + bindparam("pause", type_=Double)
    return (
        update(rates)
        .where(_MINE)
        .values(
            next_at_s=func.greatest(rates.c.next_at_s, pause_ends_s),
            since_cut=0,
            cut_at_s=case((is_new, get_now_s()), else_=rates.c.cut_at_s),
            **cut,
        )
    )


_TAKE = _build_take()
_LOOK = select(rates.c.next_at_s, get_now_s().label("now_s")).where(_MINE)
_CUT = _build_cut(per_min=func.least(rates.c.most_per_min, func.greatest(SLOWEST_PER_MIN, rates.c.per_min * CUT)))
_CUT_TO_STATED = _build_cut(
    per_min=func.least(rates.c.most_per_min, bindparam("stated", type_=Double)),
    catch_up_s=0.0,
    climb_after=CLIMB_AFTER_STATED,
)
