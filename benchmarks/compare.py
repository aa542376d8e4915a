"""The contenders at the same work: one after another on a fresh simulator each, in rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, imagen
from benchmarks.measuring import Measured, measure
from benchmarks.others import watch_others
from benchmarks.pictures import get_least_bytes, make_pictures
from benchmarks.results import Row, joined
from benchmarks.services import build_private_environ, make_empty_folder, start_prefect_server
from benchmarks.simulator import Service, build_unlimited_settings, start_simulator
from benchmarks.sizes import Case
from benchmarks.work import Work

PART = "contenders"


def compare(case: Case, *, rounds: int, scratch: Path) -> Iterator[Row]:
    """Measure the contenders at a case; one row each, with a value of every round."""
    names = [name for name in CONTENDERS if name not in case.without]
    yield from run_rounds(names, rounds, lambda name: contend(name, case, scratch))


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
        return run_once(name, case, environ, scratch)


def run_once(name: str, case: Case, environ: Mapping[str, str], scratch: Path) -> Row:
    """One contender once, in an environment that leads to what it needs; see `contend`."""
    contender = CONTENDERS[name]
    with provide_work(case, scratch, verify=contender.verify or "auto") as (work, service), watch_others() as others:
        folder = Path(work.folder)
        measured = measure(f"benchmarks.contenders.{contender.module}", work.as_text(), environ=environ, folder=folder)
        figures = compute_figures(measured, case, service.truth(), folder, scratch)
    return Row(part=PART, case=case.title, subject=name, figures=figures | {"others_percent": [others.percent]})


@contextmanager
def provide_work(
    case: Case, scratch: Path, *faults: str, verify: str = "auto", **backend: Any
) -> Iterator[tuple[Work, Service]]:
    """An empty folder, in which imagen finds its manifest and configuration, and a service with the case's images."""
    settings = build_unlimited_settings(latency_s=case.latency_s, pictures=make_pictures(case.side_px, scratch))
    with make_empty_folder(scratch / "work") as folder, start_simulator(settings, *faults) as service:
        work = Work(jobs=case.jobs, in_flight=case.in_flight, api_url=service.url, kind=case.kind, folder=str(folder))
        imagen.prepare(work, verify=verify, **backend)
        yield work, service


def compute_figures(
    measured: Measured, case: Case, truth: Mapping[str, Any], folder: Path, scratch: Path
) -> dict[str, list[float]]:
    """Compute the figures of a run; the stage of generation goes from the first create at the service to the last file.

    Raises:
        RuntimeError: The images are not all there, or the service made others.
    """
    least_bytes = get_least_bytes(make_pictures(case.side_px, scratch), case.kind)
    written_s = _get_written_s(folder, case.kind, at_least_bytes=least_bytes)
    if (len(written_s), truth["created"], truth["duplicates"]) != (case.jobs, case.jobs, 0):
        raise RuntimeError(f"of {case.jobs} images {truth['created']} were made and {len(written_s)} written")
    first_s = min(truth["created_at_s"])
    generation_s = max(written_s) - first_s
    of_ideal = {"of_ideal": [generation_s / case.ideal_s]} if case.ideal_s else {}
    return of_ideal | {
        "generation_s": [generation_s],
        "total_s": [measured.wall_s],
        "images_per_s": [case.jobs / generation_s],
        "cpu_ms_per_image": [measured.cpu_since_s(first_s) / case.jobs * 1e3],
        "cpu_s": [measured.cpu_s],
        "peak_mb": [measured.peak_bytes / 1e6],
        "requests_per_image": [truth["requests_total"] / case.jobs],
    }


def _get_written_s(folder: Path, kind: str, *, at_least_bytes: int) -> list[float]:
    """When each whole image was written, seconds since 1970."""
    found = [path.stat() for path in folder.rglob(f"*.{kind}")]
    return [status.st_mtime for status in found if status.st_size >= at_least_bytes]
