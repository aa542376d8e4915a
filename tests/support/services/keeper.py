"""The end of a test run ends everything that it started, however it ended: Ctrl-C and SIGKILL too.

Fixtures end their services only while Python still runs them. So the process that controls a test run starts a keeper: a process that waits
for that one's end and then ends all whose environment carries the run's mark, which every process inherits. It is
started as: python -m tests.support.services.keeper MARK
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

MARKS = "PYTEST_RUNS"
"""Environment variable with the marks of the test runs that a process belongs to; a test may itself start a test run."""
FOLDERS = Path("/tmp")  # noqa: S108  `mkdtemp` makes each folder in it
"""Where folders of services are: with a short path, for the sockets in them."""
GRACE_S = 3.0
"""Time for programs to end by themselves, as PostgreSQL does, which else leaves shared memory behind."""
ROOT = Path(__file__).parents[3]


def pytest_configure(config: pytest.Config) -> None:
    """Start the keeper, once for a test run: processes of pytest-xdist belong to the one that controls them."""
    if hasattr(config, "workerinput"):
        return
    mark = secrets.token_hex(4)
    command = [sys.executable, "-m", "tests.support.services.keeper", mark]
    # The pipe's other end is this process's alone, so the system closes it whatever ends this process. A session of
    # its own keeps the terminal's Ctrl-C from the keeper.
    keeper = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)
    os.environ[MARKS] = ",".join([*_list_marks(os.environ), mark])

    def end() -> None:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait()

    config.add_cleanup(end)


def name_service_folder() -> str:
    """A prefix for folders of services; the keeper removes those that are left."""
    return f"imagen-{''.join(_list_marks(os.environ)[-1:])}-"


def find_marked(mark: str) -> list[psutil.Process]:
    """Find the living processes of a test run."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in _list_marks(process.environ()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # it has just ended, or is another user's
            continue
    return found


def end_marked(mark: str) -> None:
    """End the processes of a test run: first kindly, then at once, until none is left."""
    kindly = find_marked(mark)
    for process in kindly:
        with suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(kindly, timeout=GRACE_S)
    while left := find_marked(mark):
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=GRACE_S)


def _list_marks(environ: Mapping[str, str]) -> list[str]:
    return [mark for mark in environ.get(MARKS, "").split(",") if mark]


def main(mark: str) -> None:
    """Wait for the end of standard input, then leave nothing of the test run."""
    sys.stdin.read()
    end_marked(mark)
    for folder in FOLDERS.glob(f"imagen-{mark}-*"):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
