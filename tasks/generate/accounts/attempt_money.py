"""The money that one attempt has set aside, of its batch's budget and of the caps over all batches, and attempts that cost more."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tasks.core.display import current_display
from tasks.core.money import format_micros
from tasks.core.records import Job
from tasks.generate.accounts.caps import AccountCaps, CapReservation
from tasks.generate.budget import BudgetCap, Reservation


@dataclass(slots=True)
class Overruns:
    """Attempts of one process that cost more than was set aside: a price has risen, or was never right.

    From the first one of a backend on, as much more is set aside for each of its attempts, so that what it bills stays
    within budget and caps but for the attempts that are in flight then.
    """

    _factors: dict[str, float] = field(default_factory=dict)
    """How many times its price an attempt has cost, by backend; only above 1."""
    _floors: dict[str, int] = field(default_factory=dict)
    """What an attempt has cost whose price is nothing."""

    def raise_most(self, backend: str, most_micros: int | None) -> int | None:
        """The most that an attempt can cost, after what earlier ones did; None where it is not known."""
        if most_micros is None:
            return None
        return max(math.ceil(most_micros * self._factors.get(backend, 1.0)), self._floors.get(backend, 0))

    def note(self, job: Job, cost_micros: int | None, expected_micros: int | None) -> None:
        """Note what an attempt has cost, and tell the user the first time that it is more than its price."""
        if cost_micros is None or expected_micros is None or cost_micros <= expected_micros:
            return
        is_first = job.backend not in {*self._factors, *self._floors}
        if expected_micros:
            self._factors[job.backend] = max(self._factors.get(job.backend, 1.0), cost_micros / expected_micros)
        else:
            self._floors[job.backend] = max(self._floors.get(job.backend, 0), cost_micros)
        if is_first:
            current_display.get().alert(
                f"backend {job.backend!r} has billed {format_micros(cost_micros)} where at most "
                f"{format_micros(expected_micros)} was expected. What it bills counts, and budget and caps set as much more "
                "aside from now on. Correct the price: price_usd of the backend, or `prices`, in the configuration"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMoney:
    """The money that one attempt has set aside."""

    budget: Reservation
    caps: CapReservation
    job: Job
    expected_micros: int | None
    """The most that it costs by its price; None where that is not known."""
    most_micros: int | None
    """The amount that is set aside: as much, or more after overruns."""
    overruns: Overruns

    def settle(self, cost_micros: int | None, *, images: int = 0) -> None:
        """Replace both by the true cost; an unknown cost keeps them. Only the first call counts."""
        self.overruns.note(self.job, cost_micros, self.expected_micros)
        self.budget.settle(cost_micros)
        self.caps.settle(cost_micros, images=images)


async def reserve_money(
    budget: BudgetCap,
    caps: AccountCaps,
    overruns: Overruns,
    job: Job,
    micros: int | None,
    *,
    number: int,
    images: int = 1,
) -> AttemptMoney:
    """Set the most that an attempt can cost aside: of its batch's budget first, then of the caps that others wait for too.

    Raises:
        BatchStopped: One of them does not allow it. Nothing is set aside.
    """
    most = overruns.raise_most(job.backend, micros)
    reserved = await budget.reserve(most, job_id=job.job_id, number=number)
    try:
        capped = await caps.reserve(job, most, number=number, images=images)
    except BaseException:
        reserved.settle(0)
        raise
    return AttemptMoney(
        budget=reserved, caps=capped, job=job, expected_micros=micros, most_micros=most, overruns=overruns
    )
