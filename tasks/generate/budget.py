"""The hard cap: the price of each attempt is set aside before it is sent, over the batch's whole life.

One `Budget` for each batch, shared by all shards of a process; `tasks.generate.workers.shared_budget` is one for many processes. What is set aside is the most that an attempt can cost;
what it did not cost comes back when its end is known, so near the cap a job waits for those in flight.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from tasks.core.errors import BatchStopped
from tasks.core.money import format_micros


class Reservation(Protocol):
    """Money set aside for one attempt, until its end is known."""

    def settle(self, cost_micros: int | None) -> None:
        """Put the true cost in its place; with an unknown cost it stays. Only the first call counts."""


class BudgetCap(Protocol):
    """What has to be asked before money is spent: kept by one process (`Budget`), or by many together."""

    @property
    def capped(self) -> bool:
        """Whether there is a cap at all."""

    def check_estimate(self, micros: int) -> None:
        """Refuse a plan whose estimate goes beyond the cap, with `BatchStopped`."""

    async def reserve(self, micros: int | None, *, job_id: str, number: int) -> Reservation:
        """Set aside the most that an attempt can cost; waits while others in flight may give money back.

        Raises:
            BatchStopped: The budget does not hold it, or the price is not known while there is a cap.
        """

    def take_over(self, micros: int | None, *, job_id: str, number: int) -> Reservation:
        """A reservation that is counted already: one of an earlier run, whose attempt is in flight."""


class Budget:
    """So much money, of which earlier runs have spent, or may have spent, a part."""

    def __init__(self, *, cap_micros: int | None, committed_micros: int) -> None:
        """Start from the cap (None: no cap) and what earlier runs have spent or may have spent."""
        self._cap_micros = cap_micros
        self._committed_micros = committed_micros
        self._in_flight = 0
        self._came_back = asyncio.Event()

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
                f"the estimate is {format_micros(micros)}, but of the budget of {format_micros(self._cap_micros)} only "
                f"{format_micros(max(0, self._cap_micros - self._committed_micros))} is left; nothing was sent. "
                "Raise --budget or take fewer jobs with --limit",
            )

    async def reserve(self, micros: int | None, *, job_id: str, number: int) -> LocalReservation:
        """See `BudgetCap.reserve`."""
        if self._cap_micros is None:
            self._committed_micros += micros or 0
            return self.take_over(micros, job_id=job_id, number=number)
        if micros is None:
            raise build_unknown_price_stop()
        while (left_micros := self._cap_micros - self._committed_micros) < micros:
            if not self._in_flight:
                raise build_exhausted_stop(self._cap_micros, left_micros, micros)
            self._came_back.clear()
            await self._came_back.wait()
        self._committed_micros += micros
        return self.take_over(micros, job_id=job_id, number=number)

    def take_over(self, micros: int | None, *, job_id: str, number: int) -> LocalReservation:
        """See `BudgetCap.take_over`."""
        self._in_flight += 1
        return LocalReservation(self, micros or 0)

    def _settle(self, reserved_micros: int, cost_micros: int | None) -> None:
        self._in_flight -= 1
        if cost_micros is not None:
            self._committed_micros += cost_micros - reserved_micros
        self._came_back.set()


class LocalReservation:
    """Money set aside for one attempt, until its end is known."""

    def __init__(self, budget: Budget, micros: int) -> None:
        """Hold so many millionths of a dollar of `budget`."""
        self._budget: Budget | None = budget
        self._micros = micros

    def settle(self, cost_micros: int | None) -> None:
        """Put the true cost in its place; with an unknown cost it stays. Only the first call counts."""
        if self._budget is not None:
            self._budget._settle(self._micros, cost_micros)  # noqa: SLF001  two halves of one thing
            self._budget = None


def build_unknown_price_stop() -> BatchStopped:
    """Why a job without a price is not sent under a cap."""
    return BatchStopped("budget", "a job has no known price, so --budget cannot be kept: set price_usd")


def build_exhausted_stop(cap_micros: int, left_micros: int, wanted_micros: int) -> BatchStopped:
    """Why the next job is not sent."""
    return BatchStopped(
        "budget",
        f"of the budget of {format_micros(cap_micros)} only {format_micros(max(0, left_micros))} is left and the "
        f"next picture may cost {format_micros(wanted_micros)}; raise --budget and resume",
    )
