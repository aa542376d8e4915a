"""A run of a finished batch reads its manifest once and writes nothing that is there already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.core.records import PlannedJob, Problem, Prompt
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.verdicts import Verdict, record_verdicts
from tasks.plan import planner
from tasks.report.summary import Summary
from tasks.runs.direct import run_directly
from tasks.runs.request import RunRequest
from tests.support.scripted_batch import ledger

TABLE = "metadata.parquet"


@pytest.fixture
def asked(tmp_path: Path) -> RunRequest:
    """A batch of two images that is made already."""
    (tmp_path / "imagen.yaml").write_text("usage: {sink: none}\nbackends: {b: {type: sketch}}\ndefault_backend: b\n")
    (tmp_path / "prompts.csv").write_text("id,prompt,colour\na,fox,red\nb,owl,grey\n")
    request = RunRequest(
        out=str(tmp_path / "out"), manifest=str(tmp_path / "prompts.csv"), config=str(tmp_path / "imagen.yaml")
    )
    run_again(request)
    return request


def run_again(request: RunRequest) -> Summary:
    """The run of a process of its own: nothing is known of an earlier check."""
    return asyncio.run(run_directly(request))


def get_written(request: RunRequest) -> tuple[int, list[tuple[object, ...]]]:
    """The table's inode, which another table does not have, and the run that planned each job."""
    out = Path(request.out)
    return (out / TABLE).stat().st_ino, ledger(out, "SELECT DISTINCT planned_run, withdrawn FROM jobs")


def test_an_unchanged_batch_is_not_written_again(asked: RunRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is planned once, and neither its jobs nor the table are written."""
    plans: list[object] = []
    plan = planner.Planner.plan

    def count(self: planner.Planner, prompts: Iterable[Prompt | Problem]) -> Iterator[PlannedJob | Problem]:
        plans.append(self)
        return plan(self, prompts)

    monkeypatch.setattr(planner.Planner, "plan", count)
    before = get_written(asked)
    summary = run_again(asked)
    assert (summary.counts.succeeded, summary.outcome, summary.generated) == (2, "completed", 0)
    assert get_written(asked) == before
    assert len(plans) == 1


def judge(request: RunRequest) -> None:
    """Reject an image."""

    async def record() -> None:
        async with open_ledger(Path(request.out)) as engine:
            [(job_id,)] = ledger(Path(request.out), "SELECT job_id FROM jobs WHERE id = 'a'")
            verdict = Verdict(job_id=str(job_id), reviewer="me", verdict="reject", rating=None, note="dull", at_us=1)
            await record_verdicts(engine, [verdict])

    asyncio.run(record())


CHANGES: dict[str, tuple[Callable[[RunRequest], object], str, list[object]]] = {
    "the table is gone": (lambda it: (Path(it.out) / TABLE).unlink(), "id", ["a", "b"]),
    "the table is cut": (lambda it: (Path(it.out) / TABLE).write_bytes(b"PAR1"), "id", ["a", "b"]),
    "an image is judged": (judge, "note", ["dull", None]),
    "a column that is carried changes": (
        lambda it: Path(it.manifest or "").write_text("id,prompt,colour\na,fox,blue\nb,owl,grey\n"),
        "extra",
        ['{"colour": "blue"}', '{"colour": "grey"}'],
    ),
    "rows change places": (
        lambda it: Path(it.manifest or "").write_text("id,prompt,colour\nb,owl,grey\na,fox,red\n"),
        "id",
        ["b", "a"],
    ),
    "a row leaves": (lambda it: Path(it.manifest or "").write_text("id,prompt,colour\nb,owl,grey\n"), "id", ["b"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_reaches_the_table(asked: RunRequest, change: str) -> None:
    """A table that does not show the batch as it is now is written again."""
    change_it, column, wanted = CHANGES[change]
    change_it(asked)
    run_again(asked)
    assert pq.read_table(Path(asked.out) / TABLE)[column].to_pylist() == wanted


def test_a_part_of_a_manifest_makes_the_next_whole_plan_count_again(asked: RunRequest) -> None:
    """After `--limit 1` the other jobs are not wanted, and the whole manifest wants them again."""
    run_again(asked.model_copy(update={"limit": 1}))
    summary = run_again(asked)
    assert summary.counts.unwanted == 0
    assert get_written(asked)[1] == [(3, 0)]
