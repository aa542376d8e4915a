"""imagen alone, without waiting for anybody: how many pictures a second, and whether the last ones cost what the first did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import compute_figures
from benchmarks.contenders import imagen
from benchmarks.measuring import Measured, measure
from benchmarks.results import Row, joined
from benchmarks.services import make_empty_folder, start_prefect_server
from benchmarks.simulator import build_unlimited_settings, start_simulator
from benchmarks.sizes import Case
from benchmarks.work import Work

ENGINE, SCALE = "engine", "scale"
GENERATED, RUN_AGAIN, RESUMED = "generate", "imagen run again", "imagen resume"


def measure_engine(case: Case, *, rounds: int, scratch: Path) -> Iterator[Row]:
    """Pictures of full size through submit, fetch, check, write and ledger."""
    yield joined([next(_measure_batch(ENGINE, case, scratch)) for _ in range(rounds)])


def measure_scale(cases: tuple[Case, ...], *, scratch: Path) -> Iterator[Row]:
    """The same work at growing sizes, and the last batch, when it is finished, started again."""
    for case in cases[:-1]:
        yield next(_measure_batch(SCALE, case, scratch))
    yield from _measure_batch(SCALE, cases[-1], scratch)


def _measure_batch(part: str, case: Case, scratch: Path) -> Iterator[Row]:
    """The run that makes the pictures; after it, those that find them made."""
    settings = build_unlimited_settings(latency_s=case.latency_s, picture_kb=case.picture_kb)
    with (
        make_empty_folder(scratch / "work") as folder,
        start_prefect_server(scratch / "home") as environ,
        start_simulator(settings) as service,
    ):
        work = Work(jobs=case.jobs, in_flight=case.in_flight, api_url=service.url, folder=str(folder))
        imagen.prepare(work)
        made = measure("benchmarks.contenders.imagen", work.as_text(), environ=environ, folder=folder)
        figures = compute_figures(made, case, service.truth(), folder)
        yield Row(part=part, case=case.title, subject=GENERATED, figures=figures)
        again = {
            RUN_AGAIN: imagen.build_run_arguments(work),
            RESUMED: ["resume", str(imagen.get_out(folder)), "--quiet"],
        }
        for subject, arguments in again.items():
            measured = measure("benchmarks.command", *arguments, environ=environ, folder=folder)
            _check_nothing_was_made(imagen.get_out(folder))
            yield Row(part=part, case=case.title, subject=subject, figures=_compute_figures(measured))


def _check_nothing_was_made(out: Path) -> None:
    generated = json.loads((out / "summary.json").read_text())["generated"]
    if generated:
        raise RuntimeError(f"a finished batch made {generated} pictures more")


def _compute_figures(measured: Measured) -> dict[str, list[float]]:
    return {
        "total_s": [measured.wall_s],
        "cpu_s": [measured.cpu_s],
        "peak_mb": [measured.peak_bytes / 1e6],
    }
