"""The hard cap over the batch's whole life: each attempt's price is reserved before it is sent.

A reservation is the most that an attempt can cost. The difference comes back when its true cost is known, so near the cap
a job waits for those in flight. `tasks.generate.workers.shared_budget` keeps one cap for many processes.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from tasks.core.errors import BatchStopped
from tasks.core.money import format_micros


class Reservation(Protocol):
    """Money reserved for one attempt until its cost is known."""

    def settle(self, cost_micros: int | None) -> None:
        """Replace the reservation by the true cost; an unknown cost keeps it. Only the first call counts."""


class BudgetCap(Protocol):
    """The cap, as one process keeps it (`Budget`) or many together."""

    @property
    def capped(self) -> bool:
        """True where there is a cap."""

    def check_estimate(self, micros: int) -> None:
        """Check that an estimate is within the cap; raises `BatchStopped`."""

    async def reserve(self, micros: int | None, *, job_id: str, number: int) -> Reservation:
        """Reserve the most that an attempt can cost; waits while jobs in flight may give money back.

        Raises:
            BatchStopped: The cap does not allow it, or there is a cap and the price is not known.
        """

    def take_over(self, micros: int | None, *, job_id: str, number: int) -> Reservation:
        """Take over the reservation of an earlier run's attempt, which is counted already."""


class Budget:
    """The cap as one process keeps it."""

    def __init__(self, *, cap_micros: int | None, committed_micros: int) -> None:
        """Start from the cap (None for no cap) and the most that earlier runs can have spent."""
        self._cap_micros = cap_micros
        self._committed_micros = committed_micros
        self._in_flight = 0
        self._came_back = asyncio.Event()

    @property
    def capped(self) -> bool:
        """True where there is a cap."""
        return self._cap_micros is not None

    def get_used_share(self, committed_micros: int | None = None) -> float | None:
        """Share of the cap that is spent or reserved; None where there is no cap.

        Args:
            committed_micros: Sum that all workers have committed; None: this process reserves, and knows.
        """
        committed = self._committed_micros if committed_micros is None else committed_micros
        return committed / self._cap_micros if self._cap_micros else None

    def check_estimate(self, micros: int) -> None:
        """Check that an estimate is within the cap.

        Raises:
            BatchStopped: It is not. Nothing was spent.
        """
        # Nothing left to pay for: a cap that was lowered below what is spent must not fail a batch that is complete.
        if micros and self._cap_micros is not None and self._committed_micros + micros > self._cap_micros:
            raise BatchStopped(
                "budget",
                f"the estimate is {format_micros(micros)}, but of the budget of {format_micros(self._cap_micros)} only "
                f"{format_micros(max(0, self._cap_micros - self._committed_micros))} is left; nothing was sent. "
                "Raise --budget or take fewer jobs with --limit",
            )

    def recount(self, committed_micros: int) -> None:
        """Take what the ledger counts, with nothing of this process in flight: workers have spent meanwhile."""
        self._committed_micros = committed_micros

    async def reserve(self, micros: int | None, *, job_id: str, number: int) -> LocalReservation:
        """See `BudgetCap.reserve`."""
        if self._cap_micros is None:
            # Bookkeeping only: without a cap nothing is refused, so an unknown price may count as 0.
            self._committed_micros += micros or 0
            return self.take_over(micros, job_id=job_id, number=number)
        if micros is None:
            raise build_unknown_price_stop()
        # Checked again after each wake-up: every waiting job wakes, and the money may do for one of them only.
        # What costs nothing passes a cap that is full.
        while micros and (left_micros := self._cap_micros - self._committed_micros) < micros:
            # Nobody is left who could give money back.
            if not self._in_flight:
                raise build_exhausted_stop(self._cap_micros, left_micros, micros)
            self._came_back.clear()
            await self._came_back.wait()
        self._committed_micros += micros
        return self.take_over(micros, job_id=job_id, number=number)

    def take_over(self, micros: int | None, *, job_id: str, number: int) -> LocalReservation:
        """See `BudgetCap.take_over`."""
        # Not added to what is committed: the caller, or the ledger of an earlier run, has counted it.
        self._in_flight += 1
        return LocalReservation(self, micros or 0)

    def _settle(self, reserved_micros: int, cost_micros: int | None) -> None:
        self._in_flight -= 1
        # An unknown cost stays at its most: the bill may show it later.
        if cost_micros is not None:
            self._committed_micros += cost_micros - reserved_micros
        # Also where nothing came back: those who wait must see that fewer are in flight.
        self._came_back.set()


class LocalReservation:
    """Money reserved for one attempt until its cost is known."""

    def __init__(self, budget: Budget, micros: int) -> None:
        """Reserve so many millionths of a dollar of `budget`."""
        self._budget: Budget | None = budget
        self._micros = micros

    def settle(self, cost_micros: int | None) -> None:
        """Replace the reservation by the true cost; an unknown cost keeps it. Only the first call counts."""
        if self._budget is not None:
            self._budget._settle(self._micros, cost_micros)  # noqa: SLF001  two halves of one thing
            # A job may settle twice, at its end and when its run is over; the money comes back once.
            self._budget = None


def build_unknown_price_stop() -> BatchStopped:
    """Build the stop for a job without a known price under a cap."""
    return BatchStopped("budget", "a job has no known price, so --budget cannot be kept: set price_usd")


def build_exhausted_stop(cap_micros: int, left_micros: int, wanted_micros: int) -> BatchStopped:
    """Build the stop for a job that the rest of the cap does not allow."""
    return BatchStopped(
        "budget",
        f"of the budget of {format_micros(cap_micros)} only {format_micros(max(0, left_micros))} is left and the "
        f"next image may cost {format_micros(wanted_micros)}; raise --budget and resume",
    )
