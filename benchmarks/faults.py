"""Throughput when the service loses answers, beside the same service without faults; and two backends of which one is slow.

`imagen run` as its users start it; the ledger's instants say how quick it was.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import command
from benchmarks.compare import provide_work
from benchmarks.contenders import imagen
from benchmarks.installed import WITH_ALL
from benchmarks.measuring import Measured, measure
from benchmarks.others import watch_others
from benchmarks.results import Row
from benchmarks.services import start_prefect_server
from benchmarks.simulator import Service, build_unlimited_settings, start_simulator
from benchmarks.sizes import Case
from benchmarks.work import Work
from tasks.backends.replicate.options import CREATES_PER_MIN, REQUESTS_PER_MIN, ReplicateOptions
from tasks.core.paths import get_ledger_path
from tasks.metadata.write import FILE_NAME as TABLE
from tests.support.services.postgresql import PASSWORD, running_postgresql

PART, DASK, BACKENDS = "faults", "faults on Dask", "backends"
NO_FAULT, EACH = "no fault", "1 % of each fault"
CASES: Mapping[str, Sequence[str]] = {
    NO_FAULT: (),
    "2 % dropped before creation": ("drop_before_create:0.02",),
    "2 % dropped after creation": ("drop_after_create:0.02",),
    "2 % failed (PA)": ("failed_pa:0.02",),
    EACH: tuple(
        f"{name}:0.01"
        for name in (
            "server_error_500",
            "timeout_504_after_create",
            "drop_before_create",
            "drop_after_create",
            "poll_500",
            "failed_pa",
            "file_500",
        )
    ),
}
CASE = Case(jobs=0, in_flight=128, latency_s=0.3, side_px=512)
STEADY = (0.1, 0.8)
"""Part of the images whose rate is called steady: the last lost creates are looked for when all others have ended."""
READS_FOR_EACH_CREATE = REQUESTS_PER_MIN / CREATES_PER_MIN
"""Calls other than creates that Replicate allows an account for each create that it allows; list calls are held against them.
This run makes twenty times as many creates as an account may, so a share of what an account may read in a minute would
tell how quick the machine is."""
READS_PER_MIN = 30_000
"""Setting of the run: 128 in flight at 0.3 s need more creates than an account may make, and five reads for each, as Replicate
has it. The simulator does not hold imagen to it, but imagen's own share for looking after lost creates follows it."""
PATIENCE_S = ReplicateOptions().lookup_patience_s
"""The last lost create is looked for during this time before it is sent again."""
NEVER_MADE = 0.02
"""Share of the creates that make nothing and whose answer does not say so, of all faults at once."""
NEVER_STOP = {"stop": {"error_rate": 1.0, "error_window": 10_000}}
SOME_FAILED = 1
"""Exit status of a run in which a job failed or is held: with these faults some may."""
SLOW, SLOW_LATENCY_S, SLOW_IN_FLIGHT = "slow", 4.0, 16
DASK_WORKERS = 2
STARTED = "SELECT backend, min(started_at_us) / 1e6, max(ended_at_us) / 1e6 FROM attempts GROUP BY backend"


def measure_faults(jobs: int, *, scratch: Path, kinds: bool) -> Iterator[Row]:
    """Every fault at once and none; with `kinds` each kind by itself too."""
    with start_prefect_server(scratch / "home") as environ:
        for subject in CASES if kinds else (NO_FAULT, EACH):
            yield _measure_faults(subject, jobs, scratch, environ, NEVER_STOP)


def measure_faults_on_dask(jobs: int, *, scratch: Path) -> Iterator[Row]:
    """Every fault at once and none, for workers of this machine that share a ledger on a PostgreSQL of their own."""
    with running_postgresql() as server, start_prefect_server(scratch / "home") as environ:
        shared = {
            "runner": {"kind": "dask", "workers": DASK_WORKERS},
            # Without the password, which is not sent to workers.
            "ledger": f"postgresql://postgres@127.0.0.1:{server.port}/postgres",
        }
        for subject in (NO_FAULT, EACH):
            row = _measure_faults(
                subject, jobs, scratch, {**environ, "PGPASSWORD": PASSWORD, WITH_ALL: "1"}, {**NEVER_STOP, **shared}
            )
            yield replace(row, part=DASK)


def _measure_faults(
    subject: str, jobs: int, scratch: Path, environ: Mapping[str, str], settings: Mapping[str, Any]
) -> Row:
    case = replace(CASE, jobs=jobs)
    with (
        provide_work(case, scratch, *CASES[subject], requests_per_min=READS_PER_MIN) as (work, service),
        watch_others() as others,
    ):
        _change_settings(work, settings)
        figures = _compute_figures(_run(work, environ), work, service)
    return Row(part=PART, case=case.title, subject=subject, figures=figures | {"others_percent": [others.percent]})


def measure_backends(slow: int, quick: int, *, scratch: Path) -> Iterator[Row]:
    """Rows of a slow backend in front of those of a quick one: what the quick one waits for."""
    case = replace(CASE, jobs=quick)
    settings = build_unlimited_settings(latency_s=SLOW_LATENCY_S, pictures=scratch / "pictures" / str(case.side_px))
    with (
        start_prefect_server(scratch / "home") as environ,
        provide_work(case, scratch) as (work, _),
        start_simulator(settings) as slow_service,
        watch_others() as others,
    ):
        _add_slow_backend(work, slow_service, slow)
        _run(work, environ)
        instants = {name: (first_s, last_s) for name, first_s, last_s in _query(work, STARTED)}
    begun_s = min(first_s for first_s, _ in instants.values())
    for name, (first_s, last_s) in instants.items():
        figures = {
            "first_create_s": [first_s - begun_s],
            "last_image_s": [last_s - begun_s],
            "others_percent": [others.percent],
        }
        subject = f"{slow:,} jobs of the slow one" if name == SLOW else f"{quick:,} jobs of the quick one"
        yield Row(
            part=BACKENDS, case=f"{SLOW_LATENCY_S:g} s, {SLOW_IN_FLIGHT} in flight", subject=subject, figures=figures
        )


def run(work: str) -> None:
    """Do the work; jobs that fail are counted afterwards."""
    try:
        command.run(*imagen.build_run_arguments(Work.parse(work)))
    except SystemExit as left:
        if left.code != SOME_FAILED:
            raise


def _run(work: Work, environ: Mapping[str, str]) -> Measured:
    return measure(__name__, work.as_text(), environ=environ, folder=Path(work.folder))


def _compute_figures(measured: Measured, work: Work, service: Service) -> dict[str, list[float]]:
    truth = service.truth()
    # The table, for whatever database holds the ledger.
    columns = ["status", "completed_at"]
    rows = pq.read_table(imagen.get_out(Path(work.folder)) / TABLE, columns=columns).to_pylist()
    ends_s = sorted(row["completed_at"].timestamp() for row in rows if row["completed_at"] is not None)
    begun_s = min(truth["created_at_s"])
    first, last = (int(len(ends_s) * share) for share in STEADY)
    states = Counter(row["status"] for row in rows)
    allowed_reads = READS_FOR_EACH_CREATE * truth["requests"]["create"]
    look_ups = truth["open_lists"]
    return {
        "jobs": [work.jobs],
        "images_per_s": [states["succeeded"] / (ends_s[-1] - begun_s)],
        "steady_per_s": [(last - first) / (ends_s[last] - ends_s[first])],
        "lists_percent": [100 * (truth["requests"].get("list", 0) - look_ups) / allowed_reads],
        "look_ups_percent": [100 * look_ups / allowed_reads],
        "failed": [states["failed"] + states["held"]],
        "billed_twice": [truth["duplicates_billed"]],
        "cpu_ms_per_image": [measured.cpu_since_s(begun_s) / work.jobs * 1e3],
    }


def count_looking_s(per_s: float) -> float:
    """Seconds for which lost creates are looked for at the end: once all others are made, and of those some are lost again."""
    lost, rounds = per_s * PATIENCE_S * NEVER_MADE, 0
    # Where it is likelier that none is lost, the looking has ended.
    while round(lost):
        lost, rounds = lost * NEVER_MADE, rounds + 1
    return rounds * PATIENCE_S


def _query(work: Work, query: str) -> list[Any]:
    with closing(sqlite3.connect(get_ledger_path(imagen.get_out(Path(work.folder))))) as db:
        return db.execute(query).fetchall()


def _change_settings(work: Work, changes: Mapping[str, Any]) -> None:
    config = imagen.get_config(Path(work.folder))
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))


def _add_slow_backend(work: Work, service: Service, rows: int) -> None:
    """Put rows of a second backend in front of the others."""
    folder = Path(work.folder)
    backends = json.loads(imagen.get_config(folder).read_text())["backends"]
    slow = backends[imagen.BACKEND] | {"api_base": service.url, "concurrency": SLOW_IN_FLIGHT}
    _change_settings(work, {"backends": backends | {SLOW: slow}})
    manifest = imagen.get_manifest(folder)
    lines = (json.dumps({"id": f"slow-{n}", "prompt": f"slow {n}", "backend": SLOW}) + "\n" for n in range(rows))
    manifest.write_text("".join(lines) + manifest.read_text())
