"""imagen alone, without waiting for anybody: images a second, the cost of an image of any size, and growth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.compare import compute_figures, provide_work
from benchmarks.contenders import imagen
from benchmarks.floor import measure_floor
from benchmarks.measuring import Measured, measure
from benchmarks.others import watch_others
from benchmarks.results import Row, joined
from benchmarks.services import build_private_environ, start_prefect_server
from benchmarks.simulator import Service
from benchmarks.sizes import Case
from benchmarks.work import Work

ENGINE, PIXELS, SCALE = "engine", "pixels", "scale"
GENERATED, RUN_AGAIN, RESUMED = "generate", "imagen run again", "imagen resume"


def measure_engine(case: Case, *, rounds: int, scratch: Path) -> Iterator[Row]:
    """Images of full size through submit, fetch, check, write and ledger."""
    with start_prefect_server(scratch / "home") as environ:
        yield joined([_measure_case(ENGINE, case, environ, scratch) for _ in range(rounds)])


def measure_pixels(cases: tuple[Case, ...], *, rounds: int, scratch: Path) -> Iterator[Row]:
    """The cost of an image of each size and format, and beside it that of a bare loop with the same promises."""
    with start_prefect_server(scratch / "home") as environ:
        for case in cases:
            yield joined([_measure_case(PIXELS, case, environ, scratch) for _ in range(rounds)])
            for row in measure_floor(case, rounds=rounds, scratch=scratch, first=-1):
                yield replace(row, part=PIXELS)


def measure_scale(cases: tuple[Case, ...], *, scratch: Path) -> Iterator[Row]:
    """The same work at growing sizes, and each batch, when it is finished, started again."""
    for case in cases:
        yield from _measure_with_rerun(case, scratch)


def _measure_case(part: str, case: Case, environ: Mapping[str, str], scratch: Path) -> Row:
    with provide_work(case, scratch) as (work, service):
        return _generate(part, case, (work, service), environ, scratch)


def _generate(part: str, case: Case, given: tuple[Work, Service], environ: Mapping[str, str], scratch: Path) -> Row:
    work, service = given
    folder = Path(work.folder)
    with watch_others() as others:
        made = measure("benchmarks.contenders.imagen", work.as_text(), environ=environ, folder=folder)
    figures = compute_figures(made, case, service.truth(), folder, scratch)
    return Row(part=part, case=case.title, subject=GENERATED, figures=figures | {"others_percent": [others.percent]})


def _measure_with_rerun(case: Case, scratch: Path) -> Iterator[Row]:
    """The run that makes the images; after it, those that find them made."""
    with provide_work(case, scratch) as (work, service):
        with start_prefect_server(scratch / "home") as environ:
            yield _generate(SCALE, case, (work, service), environ, scratch)
        # With that server gone: a finished batch has to find out without one that nothing is left.
        out, environ = imagen.get_out(Path(work.folder)), build_private_environ(scratch / "home")
        again = {
            RUN_AGAIN: imagen.build_run_arguments(work),
            RESUMED: ["resume", str(out), "--quiet"],
        }
        for subject, arguments in again.items():
            with watch_others() as others:
                measured = measure("benchmarks.command", *arguments, environ=environ, folder=Path(work.folder))
            _check_nothing_was_made(out)
            figures = _compute_figures(measured) | {"others_percent": [others.percent]}
            yield Row(part=SCALE, case=case.title, subject=subject, figures=figures)


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
