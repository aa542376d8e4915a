"""A second Ctrl-C cancels what is in flight: what had not begun is free, and the next run makes it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasks.backends.replicate_simulator.faults import build_rule
from tasks.backends.replicate_simulator.server import run_simulator
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.money import add_up
from tests.support.waiting import PATIENCE_S
from tests.tasks.backends.replicate.test_never_twice import EVERYTHING, QUICK, batch_at

JOBS = 3


async def test_what_was_cancelled_in_the_queue_is_made_by_the_next_run(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is billed, unknown or left, and no second attempt needs a switch."""
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_rehearsal")
    async with run_simulator(QUICK, [build_rule("stuck_starting", first=JOBS)]) as simulator:
        async with batch_at(out, simulator, JOBS) as batch:
            running = asyncio.create_task(generate_range(batch, *EVERYTHING))
            async with asyncio.timeout(PATIENCE_S):
                # By the ledger and not by the provider: an answer that was not read yet would be looked up.
                while (await count_jobs(batch.engine)).submitted < JOBS:
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait([running])
        assert simulator.truth().by_status == {"canceled": JOBS}
        async with batch_at(out, simulator, JOBS) as batch:
            await generate_range(batch, *EVERYTHING)
            counts, truth = await count_jobs(batch.engine), simulator.truth()
            sums = await add_up(batch.engine, out, truth.cost_usd)
    assert (counts.succeeded, counts.cost_unknown, truth.created) == (JOBS, 0, 2 * JOBS)
    assert set(sums.values()) == {JOBS * 3_000}
