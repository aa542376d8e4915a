"""Images whose files are gone, and folders that move while a batch runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasks.core.records import Job
from tasks.generate.jobs import generate_range
from tasks.report.summary import Summary
from tasks.runs.direct import run_directly
from tasks.runs.request import RunRequest
from tests.support.factories import make_job
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, ledger, open_scripted, run

ROWS = 4


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a batch whose images are all made, at a cent each."""
    (tmp_path / "imagen.yaml").write_text(
        "default_backend: b\nusage: {sink: none}\nbackends: {b: {type: sketch, price_usd: 0.01}}\n"
    )
    (tmp_path / "prompts.txt").write_text("".join(f"fox {number}\n" for number in range(ROWS)))
    out = tmp_path / "out"
    request = RunRequest(
        out=str(out), manifest=str(tmp_path / "prompts.txt"), config=str(tmp_path / "imagen.yaml"), budget_usd=0.05
    )
    asyncio.run(run_directly(request))
    return out


def resume(out: Path, **options: object) -> Summary:
    """Resume the batch in `out`."""
    return asyncio.run(run_directly(RunRequest.model_validate({"out": str(out), **options})))


def test_missing_images_are_made_again_from_the_same_seed(made: Path) -> None:
    """Only they are: a new attempt each, the same bytes under the same name."""
    [first, *others] = sorted((made / "images").rglob("*.png"))
    before, untouched = first.read_bytes(), {path: path.stat().st_mtime_ns for path in others}
    first.unlink()
    assert resume(made).counts.succeeded == ROWS
    assert not first.exists()
    counts = resume(made, missing=True).counts
    assert (counts.succeeded, counts.cost_micros) == (ROWS, (ROWS + 1) * 10_000)
    assert first.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in others} == untouched
    assert sorted(ledger(made, "SELECT max(number) FROM attempts GROUP BY job_id")) == [(1,)] * (ROWS - 1) + [(2,)]


def test_missing_images_are_paid_for_under_the_cap(made: Path) -> None:
    """The cap of the first run leaves one cent for two images: nothing is sent."""
    for path in sorted((made / "images").rglob("*.png"))[:2]:
        path.unlink()
    summary = resume(made, missing=True)
    assert summary.outcome is not None
    assert summary.outcome.startswith("stopped")
    assert ledger(made, "SELECT count(*) FROM attempts") == [(ROWS,)]


def test_nothing_is_made_where_nothing_is_missing(made: Path) -> None:
    """A resume for missing files with all files there costs nothing."""
    assert resume(made, missing=True).counts.cost_micros == ROWS * 10_000


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_folder_that_moves_while_the_batch_runs_stops_it(out: Path, replaced: bool) -> None:  # noqa: FBT001  a case
    """Nothing is written to the old path or sent; the moved folder's ledger has everything, and a resume finishes."""
    new, backend = out.parent / "renamed", ScriptedBackend()

    def move(job: Job) -> None:
        if job.id == "row-1":
            out.rename(new)
            if replaced:
                out.mkdir()

    backend.before_submit = move
    jobs = [make_job(number) for number in range(5)]
    async with open_scripted(out, backend, jobs, concurrency=1) as batch:
        batch.out.claim(first=True)
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "moved"
    assert not out.exists() or list(out.iterdir()) == []
    backend.before_submit = None
    assert (await run(new, backend, jobs)).succeeded == 5
    assert sum(backend.billed.values()) == 5
