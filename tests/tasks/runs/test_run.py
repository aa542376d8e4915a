"""An open run, as the flow of the same process finds it."""

from __future__ import annotations

from pathlib import Path

from tasks.core.configuration.settings import Settings
from tasks.ledger.open_jobs import Selection
from tasks.runs.request import RunRequest
from tasks.runs.run import OpenRun, hand_over, hide_addresses, restore_request
from tests.support.factories import open_batch_with


async def test_prefect_gets_no_secret_of_an_address_and_the_run_has_it(out: Path) -> None:
    """A flow's parameters stand in Prefect's database; paths and what opens nothing stay as they are."""
    given = RunRequest(out=str(out), manifest="m#1.csv", config="https://me:hunter2@host.example/c.yaml?sig=abc&v=1")
    shown = RunRequest.model_validate(hide_addresses(given).parameters())
    assert (shown.manifest, shown.config) == ("m#1.csv", "https://host.example/c.yaml?sig=***&v=1")
    async with open_batch_with(out, []) as batch:
        run = OpenRun(request=given, batch=batch, number=1, settings=Settings())
        with hand_over(run, Selection()):
            assert restore_request(shown) == given
            other = RunRequest(out=str(out), manifest="other.csv")
            assert restore_request(other) == other
    assert restore_request(shown) == shown
