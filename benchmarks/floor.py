"""The cost of each promise, measured by adding one after the other to the bare loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import compute_figures, provide_work, run_rounds
from benchmarks.floor_steps import STEPS
from benchmarks.measuring import measure
from benchmarks.others import watch_others
from benchmarks.results import Row
from benchmarks.services import build_private_environ
from benchmarks.sizes import Case

PART = "floor"


def measure_floor(case: Case, *, rounds: int, scratch: Path, first: int = 0) -> Iterator[Row]:
    """One row for each step from the `first` on, with a value of every round."""
    yield from run_rounds(STEPS[first:], rounds, lambda step: _run_once(step, case, scratch))


def _run_once(step: str, case: Case, scratch: Path) -> Row:
    environ = build_private_environ(scratch / "home")
    with provide_work(case, scratch) as (work, service), watch_others() as others:
        folder = Path(work.folder)
        measured = measure("benchmarks.floor_steps", work.as_text(), step, environ=environ, folder=folder)
        figures = compute_figures(measured, case, service.truth(), folder, scratch)
    return Row(part=PART, case=case.title, subject=step, figures=figures | {"others_percent": [others.percent]})
