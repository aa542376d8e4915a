"""The five contenders at the same work: one after another on a fresh simulator each, in rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, imagen
from benchmarks.measuring import Measured, measure
from benchmarks.results import Row, joined
from benchmarks.services import build_private_environ, make_empty_folder, start_prefect_server
from benchmarks.simulator import build_unlimited_settings, start_simulator
from benchmarks.sizes import Case
from benchmarks.work import Work

PART = "contenders"


def compare(case: Case, *, rounds: int, scratch: Path) -> Iterator[Row]:
    """Measure every contender at a case; one row each, with a value of every round."""
    yield from run_rounds(CONTENDERS, rounds, lambda name: contend(name, case, scratch))


def run_rounds(names: Iterable[str], rounds: int, measure_one: Callable[[str], Row]) -> Iterator[Row]:
    """Each in turn, so often: what the machine does meanwhile meets all of them. One row each, with a value of every round."""
    rows: dict[str, list[Row]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, found in rows.items():
            found.append(measure_one(name))
    yield from map(joined, rows.values())


def contend(name: str, case: Case, scratch: Path) -> Row:
    """One contender once, on a Prefect server of its own where it needs one.

    Raises:
        RuntimeError: It failed, or has not done the work.
    """
    home = scratch / "home"
    served = start_prefect_server(home) if CONTENDERS[name].on_prefect else nullcontext(build_private_environ(home))
    with served as environ:
        return run_once(name, case, environ, scratch / "work")


def run_once(name: str, case: Case, environ: Mapping[str, str], place: Path) -> Row:
    """One contender once, in an environment that leads to what it needs; see `contend`."""
    settings = build_unlimited_settings(latency_s=case.latency_s, picture_kb=case.picture_kb)
    with make_empty_folder(place) as folder, start_simulator(settings) as service:
        work = Work(jobs=case.jobs, in_flight=case.in_flight, api_url=service.url, folder=str(folder))
        if name == "imagen":
            imagen.prepare(work)
        measured = measure(f"benchmarks.contenders.{name}", work.as_text(), environ=environ, folder=folder)
        figures = compute_figures(measured, case, service.truth(), folder)
    return Row(part=PART, case=case.title, subject=name, figures=figures)


def compute_figures(
    measured: Measured, case: Case, truth: Mapping[str, Any], folder: Path
) -> Mapping[str, list[float]]:
    """Compute the figures of a run; the stage of generation goes from the first create at the service to the last file.

    Raises:
        RuntimeError: The pictures are not all there, or the service made others.
    """
    written_s = _get_written_s(folder, at_least_bytes=case.picture_kb * 1_000)
    if (len(written_s), truth["created"], truth["duplicates"]) != (case.jobs, case.jobs, 0):
        raise RuntimeError(f"of {case.jobs} pictures {truth['created']} were made and {len(written_s)} written")
    first_s = min(truth["created_at_s"])
    generation_s = max(written_s) - first_s
    return {
        "generation_s": [generation_s],
        "total_s": [measured.wall_s],
        "images_per_s": [case.jobs / generation_s],
        "cpu_ms_per_image": [measured.cpu_since_s(first_s) / case.jobs * 1e3],
        "cpu_s": [measured.cpu_s],
        "peak_mb": [measured.peak_bytes / 1e6],
        "requests_per_image": [truth["requests_total"] / case.jobs],
    }


def _get_written_s(folder: Path, *, at_least_bytes: int) -> list[float]:
    """When each whole picture was written, seconds since 1970."""
    found = [path.stat() for path in folder.rglob("*.png")]
    return [status.st_mtime for status in found if status.st_size >= at_least_bytes]
