"""One run whose images a gate decides on, for the tests of gates and of judges in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.core.gates import Gates
from tasks.generate.batch import Batch
from tasks.generate.jobs import generate_range
from tasks.ledger.runs import RunStart, begin_run
from tasks.scores.gates.gate import RunGate, open_gate
from tasks.scores.gates.row_rules import find_row_layers
from tests.support.factories import START_US
from tests.support.scripted_batch import EVERYTHING


async def begin_budgeted_run(batch: Batch, budget_micros: int | None) -> None:
    """Note the run's begin, as its gate expects it."""
    start = RunStart(manifest=None, salt=None, budget_micros=budget_micros, settings="{}", caller="", list_prices="{}")
    await begin_run(batch.engine, start, now_us=START_US)


@asynccontextmanager
async def gated(batch: Batch, gates: Gates, *, looks: bool) -> AsyncIterator[RunGate]:
    """Generate every job and its rerolls; without `looks` the run is killed before the gate sees anything."""
    async with open_gate(batch, gates, await find_row_layers(batch.engine), run=1) as gate:
        if looks:
            await gate.settle_all()
            batch.gate = gate
        await generate_range(batch, *EVERYTHING)
        while looks and await gate.settle():
            await generate_range(batch, *EVERYTHING)
        yield gate
