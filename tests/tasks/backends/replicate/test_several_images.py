"""A model that makes several images for one: the batch stops at the first answer, and everything paid for is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.backends.replicate_simulator.faults import build_rule
from tasks.backends.replicate_simulator.outcomes import SEVERAL
from tasks.backends.replicate_simulator.server import run_simulator
from tasks.core.configuration.sections import UnitPrices
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.remarks import hear
from tests.tasks.backends.replicate.test_never_twice import EVERYTHING, MODEL, QUICK, batch_at

JOBS = 20


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_rehearsal")


async def test_the_first_answer_with_several_images_stops_the_batch(out: Path) -> None:
    """One job is paid for, all four images are on disk, the ledger has the bill, and the message names the way out."""
    async with run_simulator(QUICK, [build_rule("several_images")]) as simulator:
        async with batch_at(out, simulator, JOBS, concurrency=1) as batch:
            with hear() as remarks:
                await generate_range(batch, *EVERYTHING)
            counts, cause = await count_jobs(batch.engine), batch.stop.cause
        truth = simulator.truth()
    assert remarks == []  # that the price is wrong would be bad advice
    assert cause is not None
    assert (cause.reason, cause.exit_code) == ("several_images", 3)
    assert all(part in str(cause) for part in ("4 images", "$0.012", "$0.003", f"{out}/answers/", "backend_opts"))
    assert (counts.succeeded, counts.planned, truth.created) == (1, JOBS - 1, 1)
    assert counts.cost_micros == round(truth.cost_usd * 1e6) == SEVERAL * 3_000
    kept = [*(out / "images").rglob("*.*"), *(out / "answers").iterdir()]
    assert len({path.read_bytes() for path in kept}) == SEVERAL


async def test_a_model_with_one_price_for_a_run_goes_on(out: Path) -> None:
    """Its further images cost nothing beyond what was reserved: they are kept, and nothing stops."""
    async with (
        run_simulator(QUICK, [build_rule("several_images")]) as simulator,
        batch_at(out, simulator, 3, prices={MODEL: UnitPrices(run=0.012)}) as batch,
    ):
        await generate_range(batch, *EVERYTHING)
        counts = await count_jobs(batch.engine)
        assert batch.stop.cause is None
    assert (counts.succeeded, counts.cost_micros) == (3, 36_000)
    assert len(list((out / "answers").iterdir())) == 3 * (SEVERAL - 1)


async def test_a_further_image_that_cannot_be_had_harms_nothing(out: Path) -> None:
    """The job has its own image and its cost, whatever becomes of the others."""
    async with run_simulator(QUICK, [build_rule("several_images"), build_rule("file_404", 0.7)]) as simulator:
        async with batch_at(out, simulator, 8, concurrency=8) as batch:
            await generate_range(batch, *EVERYTHING)
            counts = await count_jobs(batch.engine)
        truth = simulator.truth()
    assert counts.succeeded + counts.failed == truth.created
    assert counts.cost_micros == round(truth.cost_usd * 1e6)
    assert len(list((out / "answers").iterdir())) < counts.succeeded * (SEVERAL - 1)
