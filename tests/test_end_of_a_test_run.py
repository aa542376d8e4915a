"""A test run that is stopped in its middle leaves nothing behind: no process, and no folder of a service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.forked_process import ForkedProcess
from tests.support.services.keeper import FOLDERS, MARKS, find_marked
from tests.support.waiting import PATIENCE_S, eventually

ROOT = Path(__file__).parents[1]
LONG_TEST = """
import os, pathlib, subprocess, sys, time
import pytest
from tests.support.services.processes import Account, service_folder

@pytest.mark.parametrize("number", range(2))
def test_that_takes_long(number):
    with service_folder(Account(None)) as folder:
        service = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"]
        for own_session in (True, False):
            subprocess.Popen(service, cwd=folder, start_new_session=own_session)
        pathlib.Path(__file__).with_name(f"mark{number}").write_text(os.environ["PYTEST_RUNS"])
        time.sleep(3600)
"""
SERVICES_TEST = """
import os, pathlib, time

def test_that_takes_long(postgresql, rclone, moto, prefect_service):
    pathlib.Path(__file__).with_name("mark0").write_text(os.environ["PYTEST_RUNS"])
    time.sleep(3600)
"""
# A test run that was started in the background ignores Ctrl-C, and hands that on to what it starts.
PYTEST = "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(pytest.main(sys.argv[1:]))"
SERVICES = ("postgresql", "object_storage", "prefect_service")


def test_a_forked_process_belongs_to_its_test_run(tmp_path: Path) -> None:
    """It is found by the run's mark, and so it ends with a run that is killed."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    options = {"cwd": tmp_path, "env": dict(os.environ), "start_new_session": False, **pipes}
    process = ForkedProcess("import time; time.sleep(3600)", [], **options)
    try:
        mark = os.environ[MARKS].split(",")[-1]
        assert process.pid in {each.pid for each in find_marked(mark)}
    finally:
        process.kill()
        process.wait()


def start_run(folder: Path, text: str, *plugins: str, processes: int = 0) -> subprocess.Popen[bytes]:
    """Start a test run of this one file, as a terminal does: in a process group of its own."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_long.py").write_text(text)
    options = [f"-p{plugin}" for plugin in ("tests.support.services.keeper", *plugins)]
    options += [f"-n{processes}"] if processes else []
    command = [sys.executable, "-c", PYTEST, "-c", "pytest.ini", *options, "test_long.py"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True)


def wait_for_mark(folder: Path, run: subprocess.Popen[bytes], tests: int) -> str:
    """The mark of the run once so many of its tests are in their middle."""
    places = [folder / f"mark{number}" for number in range(tests)]
    eventually(lambda: run.poll() is not None or all(place.exists() and place.read_text() for place in places))
    assert run.poll() is None, (folder / "log").read_text()
    return places[0].read_text().split(",")[-1]


def assert_nothing_is_left(mark: str) -> None:
    """No process that the run started, and no folder of a service."""
    eventually(lambda: not find_marked(mark) and not list(FOLDERS.glob(f"imagen-{mark}-*")))


@pytest.mark.soak
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_test_run_leaves_nothing(tmp_path: Path, ending: signal.Signals) -> None:
    """Ctrl-C reaches all processes of a terminal, SIGKILL the one that controls the others; programs that ignore SIGTERM end too."""
    run = start_run(tmp_path, LONG_TEST, "xdist", processes=2)
    mark = wait_for_mark(tmp_path, run, 2)
    assert len(find_marked(mark)) >= 4
    try:
        if ending is signal.SIGINT:
            press_ctrl_c(run)
        else:
            run.kill()
        run.wait(PATIENCE_S)
    finally:
        run.kill()
    assert_nothing_is_left(mark)


def press_ctrl_c(run: subprocess.Popen[bytes]) -> None:
    """Press it until the run has ended, as people do: a process of pytest-xdist now and then misses the first one."""

    def has_ended() -> bool:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            run.wait(20)
        return run.poll() is not None

    eventually(has_ended)


@pytest.mark.soak
def test_a_killed_test_run_leaves_no_service(tmp_path: Path) -> None:
    """PostgreSQL, both object storages and a Prefect server are gone with the process that used them."""
    run = start_run(tmp_path, SERVICES_TEST, *(f"tests.support.services.{name}" for name in SERVICES))
    mark = wait_for_mark(tmp_path, run, 1)
    assert {"postgres", "rclone"} <= {process.name() for process in find_marked(mark)}
    run.kill()
    run.wait(PATIENCE_S)
    assert_nothing_is_left(mark)
