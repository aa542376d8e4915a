"""The service's bill, the ledger, the usage table and metadata.parquet are one sum, whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.backends.replicate_simulator.faults import build_rule
from tasks.backends.replicate_simulator.server import run_simulator
from tasks.generate.jobs import generate_range
from tests.support.money import add_up
from tests.tasks.backends.replicate.test_never_twice import EVERYTHING, QUICK, batch_at

CASES: dict[str, dict[str, float]] = {
    "creates": {
        "drop_before_create": 0.1,
        "drop_after_create": 0.1,
        "timeout_504_after_create": 0.1,
        "unreadable_2xx_after_create": 0.1,
        "server_error_500": 0.1,
        "throttled": 0.1,
    },
    "ends": {"failed_pa": 0.1, "failed_nsfw": 0.2, "output_null": 0.2, "aborted": 0.1},
    "lists": {"drop_after_create": 0.2, "list_odd_entries": 0.5, "list_without_data": 0.3, "renamed_owner": 1.0},
    "files": {"file_404": 0.2, "truncated_file": 0.1, "html_instead_of_image": 0.1, "output_data_uri": 0.2},
    "several": {"several_images": 0.1},
}


@pytest.mark.parametrize("faults", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("_replicate_token")
async def test_four_accounts_of_the_money_agree(out: Path, faults: dict[str, float]) -> None:
    """The service's bill, the ledger, the usage table and metadata.parquet have one sum to the cent, failures too."""
    rules = [build_rule(name, rate) for name, rate in faults.items()]
    async with run_simulator(QUICK, rules) as simulator, batch_at(out, simulator, 60) as batch:
        await generate_range(batch, *EVERYTHING)
        sums = await add_up(batch.engine, out, simulator.truth().cost_usd)
    assert sums == dict.fromkeys(sums, sums["bill"])


@pytest.fixture
def _replicate_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_rehearsal")
