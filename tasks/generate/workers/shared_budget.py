"""The hard cap over many worker processes: one conditional update of the fleet's row reserves money.

Each reservation is also a row of the worker that holds the job's lease. When that worker is gone, the ledger's word on the
attempt counts and the rest comes back, so a kill between reservation and intent loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Integer,
    Select,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.generate.budget import build_exhausted_stop, build_unknown_price_stop
from tasks.generate.workers.schema import fleet, get_now_s, reservations
from tasks.generate.workers.start import select_counted_for_reservation
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import run_transaction

LOOK_AGAIN_S = 0.25
"""Seconds between looks of a worker that waits for money to come back."""


class SharedBudget:
    """The cap as one worker uses it; behaves like `tasks.generate.budget.Budget`."""

    def __init__(
        self, engine: AsyncEngine, *, owner: str, cap_micros: int | None, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Reserve for `owner`, who holds the jobs' leases; without a cap the database is not asked."""
        self._engine = engine
        self._owner = owner
        self._cap_micros = cap_micros
        self._sleep = sleep
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def capped(self) -> bool:
        """True where there is a cap."""
        return self._cap_micros is not None

    def check_estimate(self, micros: int) -> None:
        """Do nothing: the run that sent the workers has checked the estimate."""

    async def reserve(self, micros: int | None, *, job_id: str, number: int) -> SharedReservation:
        """See `tasks.generate.budget.BudgetCap.reserve`."""
        if self._cap_micros is None:
            return SharedReservation(None, job_id, number)
        if micros is None:
            raise build_unknown_price_stop()
        reservation = SharedReservation(self, job_id, number)
        values = {"a_job_id": job_id, "a_number": number, "an_owner": self._owner, "a_micros": micros}
        while True:
            # A cost that this worker has yet to write may be the very money it waits for.
            await self.settled()
            if await run_transaction(self._engine, lambda db: _try_reserve(db, values)):
                return reservation
            await self._wait_for_money(micros, self._cap_micros)

    def take_over(self, micros: int | None, *, job_id: str, number: int) -> SharedReservation:
        """See `tasks.generate.budget.BudgetCap.take_over`."""
        if self._cap_micros is None:
            return SharedReservation(None, job_id, number)
        return SharedReservation(self, job_id, number, opened=self._write(self._take_over(micros or 0, job_id, number)))

    async def settled(self) -> None:
        """Wait until every settled cost is in the database.

        Raises:
            BatchStopped: The database cannot be used.
        """
        while self._writing:
            await asyncio.gather(*self._writing)

    async def _wait_for_money(self, micros: int, cap_micros: int) -> None:
        left, waits = await run_transaction(self._engine, _recount)
        if left < micros:
            if not waits:
                raise build_exhausted_stop(cap_micros, left, micros)
            # Polled: the money may come back in any of many processes, and a notification can be lost.
            await self._sleep(LOOK_AGAIN_S)

    def _write(self, change: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a change at once; the jobs of one worker settle in any order."""
        writing = asyncio.create_task(change)
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        return writing

    async def _take_over(self, micros: int, job_id: str, number: int) -> None:
        values = {"job_id": job_id, "number": number, "owner": self._owner, "micros": micros}
        await run_transaction(self._engine, lambda db: _take_over_row(db, values))

    async def _settle(
        self, job_id: str, number: int, cost_micros: int | None, opened: asyncio.Task[None] | None
    ) -> None:
        if opened is not None:
            # The row must be there before it can be deleted.
            await opened
        mine = (reservations.c.job_id == job_id) & (reservations.c.number == number)
        gone = delete(reservations).where(mine & (reservations.c.owner == self._owner))
        # One statement: a kill between the deletion and the sum would leave money reserved for ever.
        taken = gone.returning(reservations.c.micros).cte("taken")
        kept = taken.c.micros if cost_micros is None else literal(cost_micros)
        change = select(func.coalesce(func.sum(kept - taken.c.micros), 0)).scalar_subquery()
        await run_transaction(
            self._engine,
            lambda db: db.execute(
                update(fleet).values(committed_micros=fleet.c.committed_micros + change).add_cte(taken)
            ),
        )


class SharedReservation:
    """Money reserved for one attempt until its cost is known."""

    def __init__(
        self, budget: SharedBudget | None, job_id: str, number: int, *, opened: asyncio.Task[None] | None = None
    ) -> None:
        """Stand for a reservation of `budget` (None for no cap), once `opened` is done."""
        self._budget = budget
        self._job_id = job_id
        self._number = number
        self._opened = opened

    def settle(self, cost_micros: int | None) -> None:
        """See `tasks.generate.budget.Reservation.settle`."""
        if self._budget is not None:
            # Settled once, as in `LocalReservation`.
            budget, self._budget = self._budget, None
            budget._write(budget._settle(self._job_id, self._number, cost_micros, self._opened))  # noqa: SLF001  two halves of one thing


async def _try_reserve(db: AsyncConnection, values: dict[str, Any]) -> bool:
    return (await db.execute(_RESERVE, values)).one_or_none() is not None


async def _take_over_row(db: AsyncConnection, values: dict[str, Any]) -> None:
    """Take over a lost worker's reservation: left with that worker, its money would come back twice."""
    attempt = (reservations.c.job_id == values["job_id"]) & (reservations.c.number == values["number"])
    taken = await db.execute(update(reservations).where(attempt).values(owner=values["owner"]))
    if not taken.rowcount:
        await db.execute(insert(reservations).values(values))


async def _recount(db: AsyncConnection) -> tuple[int, bool]:
    """Give lost workers' money back; then the money that is left, and True where more may come back."""
    # Locked first: two workers that recount at once would give the same money back twice.
    await db.execute(select(fleet.c.id).with_for_update())
    back = (await db.execute(_GIVE_BACK_OF_LOST)).scalar_one()
    await db.execute(update(fleet).values(committed_micros=fleet.c.committed_micros - back))
    left = (await db.execute(select(fleet.c.cap_micros - fleet.c.committed_micros))).scalar_one()
    # While any reservation is open, its true cost may be lower than what it reserves.
    waits = (await db.execute(select(exists().where(reservations.c.id.is_not(None))))).scalar_one()
    return int(left), bool(waits)


def _build_reserve() -> CompoundSelect[Any]:
    """Build the query that reserves within the cap, or takes over a lost worker's reservation of the attempt."""
    job_id, number = bindparam("a_job_id", type_=Text), bindparam("a_number", type_=Integer)
    owner, micros = bindparam("an_owner", type_=Text), bindparam("a_micros", type_=BigInteger)
    # The commit's answer may have been lost, and the statement sent again: then it is there already.
    same = (reservations.c.job_id == job_id) & (reservations.c.number == number) & (reservations.c.micros == micros)
    moved = update(reservations).where(same).values(owner=owner).returning(reservations.c.id).cte("moved")
    # What costs nothing passes a cap that is full, as in `tasks.generate.budget`.
    has_room = (fleet.c.committed_micros + micros <= fleet.c.cap_micros) | (micros == 0)
    paid = (
        update(fleet)
        .where(~exists(select(moved.c.id)) & has_room)
        .values(committed_micros=fleet.c.committed_micros + micros)
        .returning(fleet.c.id)
        .cte("paid")
    )
    # No row of `paid`, no reservation: the cap decides inside the database.
    row = select(job_id, number, owner, micros).select_from(paid)
    adding = insert(reservations).from_select(["job_id", "number", "owner", "micros"], row)
    added = adding.returning(reservations.c.id).cte("added")
    return select(moved.c.id).union_all(select(added.c.id))


def _build_give_back() -> Select[tuple[int]]:
    """Build the query that deletes lost workers' reservations and sums the money that the ledger does not count."""
    holds = (jobs.c.claimed_by == reservations.c.owner) & (jobs.c.lease_until_us > get_now_s() * 1_000_000)
    held = exists().where((jobs.c.job_id == reservations.c.job_id) & holds).correlate(reservations)
    beyond = (reservations.c.micros - select_counted_for_reservation()).label("beyond")
    lost = delete(reservations).where(~held).returning(beyond).cte("lost")
    return select(func.coalesce(func.sum(lost.c.beyond), 0).cast(BigInteger))


_RESERVE = _build_reserve()
_GIVE_BACK_OF_LOST = _build_give_back()
