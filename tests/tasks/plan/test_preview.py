"""What a plan says of money: all of it, what is left to do, what was spent, and whether the budget holds it."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.manifest import open_manifest
from tasks.plan.planner import PlanOptions, plan_manifest
from tasks.plan.preview import format_preview, preview_plan
from tasks.plan.refusals import check_preview
from tasks.store.output.folder import OutputFolder
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import run

PRICED = Settings(backends={"sketch": BackendSettings(type="sketch", price_usd=0.003)})
TODAY = date(2026, 11, 24)


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    """Ten rows."""
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"fox {number}"}) + "\n" for number in range(10)))
    return str(path)


def plan(source: str, out: Path, budget_usd: float | None = None, settings: Settings = PRICED) -> dict[str, Any]:
    """The plan's record."""
    with open_manifest(source) as opened:
        return preview_plan(opened, settings, PlanOptions(), out=OutputFolder(out), budget_usd=budget_usd, today=TODAY)


def done(source: str, out: Path, jobs: int, settings: Settings = PRICED) -> None:
    """Generate the manifest's first jobs into the folder."""
    with open_manifest(source) as opened:
        planned = [item.job for item in plan_manifest(opened, settings, PlanOptions(limit=jobs))]
    counts = asyncio.run(run(out, ScriptedBackend(), planned))
    assert counts.succeeded == jobs


def test_a_new_folder_has_spent_nothing(manifest: str, tmp_path: Path) -> None:
    """Without a budget nothing is said of one."""
    record = plan(manifest, tmp_path / "out")
    assert (record["estimate_usd"], record["to_do_usd"], record["spent_usd"]) == (0.03, 0.03, 0.0)
    assert (record["budget_usd"], record["budget_left_usd"], record["within_budget"]) == (None, None, None)
    assert not any("budget" in line for line in format_preview(record))


@pytest.mark.parametrize(
    ("budget_usd", "left_usd", "is_enough", "words"),
    [(0.03, 0.018, True, ": enough"), (0.029, 0.017, False, "not enough"), (0.01, -0.002, False, "$0.00 left")],
)
def test_what_is_done_is_spent_and_the_rest_is_held_against_what_is_left(  # noqa: PLR0917  a case
    manifest: str,
    out: Path,
    budget_usd: float,
    left_usd: float,
    is_enough: bool,  # noqa: FBT001  a case
    words: str,
) -> None:
    """Four of ten are there: six are to be paid for from what four have left of the budget."""
    done(manifest, out, 4)
    record = plan(manifest, out, budget_usd)
    assert (record["done"], record["to_do"], record["to_do_usd"], record["spent_usd"]) == (4, 6, 0.018, 0.012)
    assert record["budget_left_usd"] == pytest.approx(left_usd)
    assert record["within_budget"] is is_enough
    text = "\n".join(format_preview(record))
    assert "4 done, 0 failed, 0 held; $0.012 spent so far" in text
    assert words in text


def test_an_unknown_price_is_said_and_cannot_be_held_against_a_budget(manifest: str, tmp_path: Path) -> None:
    """Never counted as nothing."""
    flux = BackendSettings.model_validate({"type": "replicate", "model": "nobody/knows-it"})
    settings = Settings(default_backend="flux", backends={"flux": flux})
    record = plan(manifest, tmp_path / "out", 5.0, settings)
    assert (record["unpriced"], record["within_budget"]) == (10, False)
    text = "\n".join(format_preview(record))
    assert "10 images of unknown price" in text
    assert "set price_usd" in text


def test_what_is_done_needs_no_price_any_more(manifest: str, out: Path) -> None:
    """Only what is to do is held against the budget, and told with it."""
    flux = BackendSettings.model_validate({"type": "replicate", "model": "nobody/knows-it"})
    settings = Settings(default_backend="sketch", backends={"sketch": flux})
    done(manifest, out, 10, settings)
    record = plan(manifest, out, 5.0, settings)
    assert (record["unpriced"], record["to_do_unpriced"], record["within_budget"]) == (10, 0, True)
    text = "\n".join(format_preview(record))
    assert "all of them: $0.00 and 10 images of unknown price" in text
    assert "to do: 0 images, $0.00, at least" in text


def test_an_old_price_is_a_warning_of_the_plan(manifest: str, tmp_path: Path) -> None:
    """The table's date counts from the day of the plan; the user's own price has none."""
    flux = BackendSettings.model_validate({"type": "replicate", "model": "black-forest-labs/flux-schnell"})
    settings = Settings(default_backend="flux", backends={"flux": flux})
    with open_manifest(manifest) as opened:
        later = preview_plan(
            opened, settings, PlanOptions(), out=OutputFolder(tmp_path / "out"), today=date(2027, 11, 24)
        )
    assert "price of backend 'flux'" in later["warnings"][0]
    assert plan(manifest, tmp_path / "out", settings=settings)["warnings"] == []


def test_a_cap_counts_the_judges_that_the_rules_ask(manifest: str, tmp_path: Path) -> None:
    """Their dollars stand in what the plan takes of a cap on all or on the judge, and no image of a cap does."""
    judge = {"question": "A fox?", "model": "eye-1", "key_env": None, "price_usd": 0.01}
    settings = Settings.model_validate(
        {
            "backends": {"sketch": {"type": "sketch", "price_usd": 0.003}},
            "scores": {"eye": judge},
            "reject": "not eye",
            "caps": [
                {"usd": 0.1, "per": "day"},
                {"usd": 5, "per": "day", "backend": "sketch"},
                {"usd": 0, "per": "day", "model": "eye-*"},
                {"images": 10, "per": "day"},
            ],
        }
    )
    (out := tmp_path / "out").mkdir()
    done(manifest, out, 2)
    record = plan(manifest, out, settings=settings)
    assert [cap["takes"] for cap in record["caps"]] == [0.104, 0.024, 0.08, 8]
    assert [cap["enough"] for cap in record["caps"]] == [False, True, False, True]
    assert record["judging_usd"] == 0.08
    assert "$0.10 left, this plan takes $0.104: a run stops there" in format_preview(record)[-4]
    # The first image is made before the judge is asked about it.
    check_preview(record, settings, OutputFolder(out))
