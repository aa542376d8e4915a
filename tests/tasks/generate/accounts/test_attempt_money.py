"""Attempts that cost more than was set aside for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tasks.core.caps.cap import CapSettings
from tasks.core.records import Job, Prediction
from tasks.generate.accounts.attempt_money import Overruns
from tests.support.factories import make_job
from tests.support.remarks import hear
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.tasks.generate.accounts.conftest import Machine

BUDGET_MICROS = 10 * PRICE_MICROS


@dataclass
class DearerBackend(ScriptedBackend):
    """Bills another amount than its price list says."""

    billed_micros: int = PRICE_MICROS

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """The amount is told when the image is there."""
        return replace(await super().wait(job, prediction), cost_micros=self.billed_micros)


@pytest.mark.parametrize("price", [PRICE_MICROS, 0], ids=["a price that has risen", "a price of nothing"])
@pytest.mark.parametrize("kept_by", ["budget", "cap"])
async def test_a_bill_above_the_price_passes_no_budget(
    machine: Machine, caps: list[CapSettings], kept_by: str, price: int
) -> None:
    """From the first image on as much as it cost is set aside, and the user is told once."""
    backend = DearerBackend(price_micros=price, billed_micros=PRICE_MICROS * 3 // 2)
    if kept_by == "cap":
        caps.append(CapSettings(usd=BUDGET_MICROS / 1e6, per="day"))
    budget = BUDGET_MICROS if kept_by == "budget" else None
    with hear() as remarks:
        stopped = await machine.run("a", backend, 20, concurrency=1, budget_micros=budget)
    # Seven would be 31,500 of 30,000.
    assert backend.billed.total() == 6
    assert "$0.003" in stopped
    assert len(remarks) == 1
    assert "has billed $0.0045 where at most" in remarks[0]


def test_many_in_flight_raise_it_once() -> None:
    """Attempts that were set aside at the old price are billed at the new one: that is set aside after them, and no more."""
    overruns, job = Overruns(), make_job(0)
    with hear() as remarks:
        for cost_micros in (4_500, 4_500, 3_300, 3_000, None):
            overruns.note(job, cost_micros, 3_000)
    assert [overruns.raise_most(job.backend, most) for most in (3_000, 6_000, None)] == [4_500, 9_000, None]
    assert overruns.raise_most("another", 3_000) == 3_000
    assert len(remarks) == 1


async def test_a_bill_as_expected_is_not_told(machine: Machine) -> None:
    """The whole budget is used, without a word."""
    with hear() as remarks:
        assert await machine.run("a", ScriptedBackend(), 10, concurrency=4, budget_micros=BUDGET_MICROS) == ""
    assert remarks == []
