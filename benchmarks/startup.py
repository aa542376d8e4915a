"""Time until a command has done what it is for, beside the time that Prefect takes by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from benchmarks.contenders import imagen
from benchmarks.measuring import ROOT
from benchmarks.pictures import make_pictures
from benchmarks.results import Row
from benchmarks.services import build_private_environ, make_empty_folder, start_prefect_server
from benchmarks.simulator import build_unlimited_settings, start_simulator
from benchmarks.work import Work

PART = "startup"
IMPORT, COMMANDS, FIRST = "python -c 'import prefect'", "reading commands", "until the first submit"
RUN, MINIMAL, LIBRARIES = "imagen run", "minimal Prefect flow", "minimal Prefect flow, imagen's libraries"
READING_LIBRARIES = "the libraries of a command that reads a ledger"
COLD, WARM, RUNNING = "embedded server, first start", "embedded server", "running server"
TIMEOUT_S = 300.0
AS_INSTALLED = "from benchmarks.installed import as_installed; as_installed()"
SIDE_PX = 64
IMAGEN = (sys.executable, "-c", f"{AS_INSTALLED}; from flows.start import main; main()")
Way = Callable[[Path, Mapping[str, str]], float]
_READING = (
    "import asyncio, typer, pydantic, sqlalchemy.ext.asyncio, aiosqlite, sqlalchemy.dialects.sqlite, rich.console"
)
PATIENCE = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240"}
"""Prefect's own 20 s are too few for a first start on a busy machine; it concerns the minimal flow only."""


def measure_startup(*, rounds: int, scratch: Path, cold: bool) -> Iterator[Row]:
    """The reading commands, then the way to the first submit in the states that a server can be in."""
    yield from _measure_reading_commands(rounds, scratch)
    for state in (RUNNING, WARM, COLD) if cold else (RUNNING,):
        yield from _measure_first_submits(state, rounds, scratch)


def _measure_reading_commands(rounds: int, scratch: Path) -> Iterator[Row]:
    with make_empty_folder(scratch / "work") as folder:
        environ = {**build_private_environ(scratch / "home"), "PYTHONPATH": str(ROOT)}
        _make_batch(folder)
        commands: dict[str, Sequence[str]] = {
            IMPORT: (sys.executable, "-c", f"{AS_INSTALLED}; import prefect"),
            READING_LIBRARIES: (sys.executable, "-c", f"{AS_INSTALLED}; {_READING}"),
            "imagen --help": (*IMAGEN, "--help"),
            "imagen plan": (*IMAGEN, "plan", "prompts.txt"),
            "imagen status": (*IMAGEN, "status", "batch"),
            "imagen usage": (*IMAGEN, "usage"),
            "imagen backends": (*IMAGEN, "backends"),
            "imagen init": (*IMAGEN, "init", "started"),
        }
        for subject, command in commands.items():
            # The first one reads the files that the others find in memory.
            took_s = [_measure_until_end_s(command, environ, folder) for _ in range(rounds + 1)][1:]
            yield Row(part=PART, case=COMMANDS, subject=subject, figures={"total_s": took_s})


def _make_batch(folder: Path) -> None:
    """Write what the commands read: a manifest, and a folder with a ledger in which nothing is done yet."""
    (folder / "prompts.txt").write_text("a fox\nan owl\n")
    code = (
        "import asyncio\n"
        "from tasks.runs.request import RunRequest\n"
        "from tasks.runs.plan_run import plan_run\n"
        "from tasks.runs.run import open_run\n"
        "async def plan():\n"
        "    async with open_run(RunRequest(out='batch', manifest='prompts.txt')) as run:\n"
        "        await plan_run(run)\n"
        "asyncio.run(plan())"
    )
    environ = {**build_private_environ(folder / "home"), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environ, check=True)


def _measure_until_end_s(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> float:
    begun_s = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
    return time.perf_counter() - begun_s


def _measure_first_submits(state: str, rounds: int, scratch: Path) -> Iterator[Row]:
    """All subjects in turn, each with Prefect's data in the same state."""
    pictures = make_pictures(SIDE_PX, scratch)
    ways: Mapping[str, Way] = {
        MINIMAL: _measure_minimal_s,
        LIBRARIES: partial(_measure_minimal_s, extra=("--with-libraries",)),
        RUN: partial(_measure_imagen_s, pictures=pictures),
    }
    took_s: dict[str, list[float]] = {subject: [] for subject in ways}
    # One running server for all of them: what it does besides meets every subject alike.
    served = start_prefect_server(scratch / "home") if state == RUNNING else nullcontext(None)
    with served as running:
        for number in range(rounds + (state != COLD)):
            for place, (subject, way) in enumerate(ways.items()):
                environ = running or _prepare_home(scratch / f"home-{place}", is_cold=state == COLD)
                with make_empty_folder(scratch / "work") as folder:
                    seconds = way(folder, {**environ, **PATIENCE, "PYTHONPATH": str(ROOT)})
                # The first one that is not cold prepares the others.
                if number or state == COLD:
                    took_s[subject].append(seconds)
    for subject, values in took_s.items():
        yield Row(part=PART, case=f"{FIRST}, {state}", subject=subject, figures={"first_s": values})


def _prepare_home(home: Path, *, is_cold: bool) -> Mapping[str, str]:
    if is_cold:
        shutil.rmtree(home, ignore_errors=True)
    return build_private_environ(home)


def _measure_minimal_s(folder: Path, environ: Mapping[str, str], extra: Sequence[str] = ()) -> float:
    begun_s = time.time()
    command = [sys.executable, "-m", "benchmarks.minimal_flow", *extra]
    done = subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True, timeout=TIMEOUT_S)
    return float(done.stdout.split()[0]) - begun_s


def _measure_imagen_s(folder: Path, environ: Mapping[str, str], *, pictures: Path) -> float:
    """The first submit is the first create that reaches the service."""
    with start_simulator(build_unlimited_settings(latency_s=0, pictures=pictures)) as service:
        work = Work(jobs=1, in_flight=1, api_url=service.url, folder=str(folder))
        imagen.prepare(work)
        begun_s = time.time()
        command = [*IMAGEN, *imagen.build_run_arguments(work)]
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True, timeout=TIMEOUT_S)
        return float(min(service.truth()["created_at_s"])) - begun_s
