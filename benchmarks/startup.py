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
PICTURE_KB = 20
IMAGEN = (sys.executable, "-c", f"{AS_INSTALLED}; from flows.start import main; main()")
_READING = (
    "import asyncio, typer, pydantic, sqlalchemy.ext.asyncio, aiosqlite, sqlalchemy.dialects.sqlite, rich.console"
)
PATIENCE = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240"}
"""Prefect's own 20 s are too few for a first start on a busy machine; it concerns the minimal flow only."""


def measure_startup(*, rounds: int, scratch: Path) -> Iterator[Row]:
    """The reading commands, then the way to the first submit in the three states that a server can be in."""
    yield from _measure_reading_commands(rounds, scratch)
    for state in (RUNNING, WARM, COLD):
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
    """Both subjects in turn, each with Prefect's data in the same state."""
    ways: Mapping[str, Callable[[Path, Mapping[str, str]], float]] = {
        MINIMAL: _measure_minimal_s,
        LIBRARIES: partial(_measure_minimal_s, extra=("--with-libraries",)),
        RUN: _measure_imagen_s,
    }
    took_s: dict[str, list[float]] = {subject: [] for subject in ways}
    for number in range(rounds + (state != COLD)):
        for subject, way in ways.items():
            home = scratch / f"home-{list(ways).index(subject)}"
            if state == COLD:
                shutil.rmtree(home, ignore_errors=True)
            served = start_prefect_server(home) if state == RUNNING else nullcontext(build_private_environ(home))
            with make_empty_folder(scratch / "work") as folder, served as environ:
                seconds = way(folder, {**environ, **PATIENCE, "PYTHONPATH": str(ROOT)})
            # The first one that is not cold prepares the others.
            if number or state == COLD:
                took_s[subject].append(seconds)
    for subject, values in took_s.items():
        yield Row(part=PART, case=f"{FIRST}, {state}", subject=subject, figures={"first_s": values})


def _measure_minimal_s(folder: Path, environ: Mapping[str, str], extra: Sequence[str] = ()) -> float:
    begun_s = time.time()
    command = [sys.executable, "-m", "benchmarks.minimal_flow", *extra]
    done = subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True, timeout=TIMEOUT_S)
    return float(done.stdout.split()[0]) - begun_s


def _measure_imagen_s(folder: Path, environ: Mapping[str, str]) -> float:
    """The first submit is the first create that reaches the service."""
    with start_simulator(build_unlimited_settings(latency_s=0, picture_kb=PICTURE_KB)) as service:
        work = Work(jobs=1, in_flight=1, api_url=service.url, folder=str(folder))
        imagen.prepare(work)
        begun_s = time.time()
        command = [*IMAGEN, *imagen.build_run_arguments(work)]
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True, timeout=TIMEOUT_S)
        return float(min(service.truth()["created_at_s"])) - begun_s
