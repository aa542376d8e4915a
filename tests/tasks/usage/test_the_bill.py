"""The service's bill, the ledger and the usage table are one sum, whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.backends.replicate_simulator.faults import build_rule
from tasks.backends.replicate_simulator.server import run_simulator
from tasks.core.clock import Clock
from tasks.core.money import MICROS_PER_USD
from tasks.core.settings import UsageSettings
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tasks.usage.groups import sum_groups
from tasks.usage.push import push_usage
from tasks.usage.query import UsageQuery
from tasks.usage.report import read_groups
from tests.tasks.backends.replicate.test_never_twice import EVERYTHING, QUICK, batch_at

FAULTS = {
    "drop_before_create": 0.1,
    "drop_after_create": 0.1,
    "server_error_500": 0.1,
    "throttled": 0.1,
    "failed_pa": 0.1,
    "failed_nsfw": 0.2,
    "output_null": 0.2,
}


@pytest.mark.usefixtures("_replicate_token")
async def test_the_table_is_the_bill(out: Path, tmp_path: Path) -> None:
    """Failures that were billed are rows too: the sums agree to the cent, by status and in all."""
    settings = UsageSettings(path=str(tmp_path / "usage.db"))
    async with run_simulator(QUICK, [build_rule(name, rate) for name, rate in FAULTS.items()]) as simulator:
        async with batch_at(out, simulator, 60) as batch:
            await generate_range(batch, *EVERYTHING)
            counts = await count_jobs(batch.engine)
            report = await push_usage(batch.engine, settings, out=out, clock=Clock())
        truth = simulator.truth()
    total = sum_groups(await read_groups(settings, UsageQuery(by=("status", "batch"))))
    assert report.pending == 0
    assert (total.images, total.cost_unknown) == (counts.succeeded, counts.cost_unknown)
    assert total.cost_micros == counts.cost_micros == round(truth.cost_usd * MICROS_PER_USD)
    assert total.images + total.failures == truth.billed
    assert total.failures > 0


@pytest.fixture
def _replicate_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_rehearsal")
