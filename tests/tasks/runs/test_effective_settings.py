"""The settings and the cap that a run uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.configuration.settings import Settings
from tasks.ledger.runs import RunRecord, RunStart
from tasks.runs.effective_settings import choose_settings_and_budget
from tasks.runs.request import RunRequest


def run_before(budget_micros: int | None) -> RunRecord:
    """The batch's last run, with this cap."""
    start = RunStart(
        manifest="prompts.yaml",
        salt="",
        budget_micros=budget_micros,
        settings=Settings().model_dump_json(),
        caller="me",
    )
    return RunRecord(number=1, start=start, started_at_us=0, ended_at_us=1, outcome="completed")


@pytest.mark.parametrize("manifest", ["prompts.yaml", None])
@pytest.mark.parametrize(
    ("given_usd", "before", "cap"), [(None, 50_000, 50_000), (1.0, 50_000, 1_000_000), (None, None, None)]
)
def test_a_cap_lasts_until_another_is_given(
    tmp_path: Path, manifest: str | None, given_usd: float | None, before: int | None, cap: int | None
) -> None:
    """A run or resume without --budget keeps the cap of the run before it."""
    request = RunRequest(out=str(tmp_path), manifest=manifest, budget_usd=given_usd)
    _, budget_micros = choose_settings_and_budget(request, Settings(), run_before(before))
    assert budget_micros == cap


def test_a_first_run_without_a_budget_has_no_cap(tmp_path: Path) -> None:
    """Nothing is inherited from a batch that does not exist."""
    _, budget_micros = choose_settings_and_budget(RunRequest(out=str(tmp_path)), None, None)
    assert budget_micros is None
