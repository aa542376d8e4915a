"""A run of some of a manifest's jobs, and the runs after it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasks.report.summary import Summary
from tasks.runs.direct import run_directly
from tasks.runs.request import RunRequest
from tests.support.scripted_batch import ledger


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Five prompts beside a configuration."""
    path = tmp_path / "m.txt"
    path.write_text("".join(f"a fox {number}\n" for number in range(5)))
    return path


def run(manifest: Path, limit: int | None, price_usd: float = 0.0, **changes: float) -> Summary:
    """Run the first so many of its jobs into one folder."""
    config, instance = manifest.with_name("imagen.yaml"), f"{{type: sketch, price_usd: {price_usd}}}"
    config.write_text(f"usage: {{sink: none}}\nbackends: {{b: {instance}}}\ndefault_backend: b\n")
    out = str(manifest.with_name("out"))
    asked = RunRequest.model_validate(
        {"out": out, "manifest": str(manifest), "config": config, "limit": limit, **changes}
    )
    return asyncio.run(run_directly(asked))


def test_a_limit_is_the_manifests_first_jobs(manifest: Path) -> None:
    """The same command twice pays once; without the limit the rest follows."""
    assert [run(manifest, limit).generated for limit in (2, 2, 3, None)] == [2, 0, 1, 2]


def test_a_limit_leaves_other_open_jobs_alone(manifest: Path) -> None:
    """Jobs that an earlier, stopped run left open are not generated in place of the manifest's first."""
    stopped = run(manifest, None, price_usd=1.0, budget_usd=1.0)
    assert (stopped.counts.planned, stopped.generated) == (5, 0)
    assert [run(manifest, 2).generated for _ in range(2)] == [2, 0]
    states = ledger(manifest.with_name("out"), "SELECT state FROM jobs ORDER BY position")
    assert [state for (state,) in states] == ["succeeded"] * 2 + ["planned"] * 3
