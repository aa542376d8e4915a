"""The cost of each promise, measured by adding one after the other to the bare loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import compute_figures, run_rounds
from benchmarks.contenders import imagen
from benchmarks.floor_steps import STEPS
from benchmarks.measuring import measure
from benchmarks.results import Row
from benchmarks.services import build_private_environ, make_empty_folder
from benchmarks.simulator import build_unlimited_settings, start_simulator
from benchmarks.sizes import Case
from benchmarks.work import Work

PART = "floor"


def measure_floor(case: Case, *, rounds: int, scratch: Path) -> Iterator[Row]:
    """One row for each step, with a value of every round."""
    yield from run_rounds(STEPS, rounds, lambda step: _run_once(step, case, scratch))


def _run_once(step: str, case: Case, scratch: Path) -> Row:
    settings = build_unlimited_settings(latency_s=case.latency_s, picture_kb=case.picture_kb)
    environ = build_private_environ(scratch / "home")
    with make_empty_folder(scratch / "work") as folder, start_simulator(settings) as service:
        work = Work(jobs=case.jobs, in_flight=case.in_flight, api_url=service.url, folder=str(folder))
        imagen.prepare(work)
        measured = measure("benchmarks.floor_steps", work.as_text(), step, environ=environ, folder=folder)
        figures = compute_figures(measured, case, service.truth(), folder)
    return Row(part=PART, case=case.title, subject=step, figures=figures)
