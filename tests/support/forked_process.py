"""Processes that are forked from one that has imported everything already, instead of being started; see `preloaded`."""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.services.keeper import FOLDERS, MARKS, name_service_folder
from tests.support.surroundings import NO_TELEMETRY, PERSONAL_PREFIXES

ROOT = Path(__file__).parents[2]
IMAGEN = "from flows.cli import main; main()"
"""The code of the command line."""
READ_WHEN_USED = (
    *PERSONAL_PREFIXES,
    *("BROWSER", "COLUMNS", "HOME", "PATH", "PYTEST_", "TMPDIR", "TZ"),
    *("ANY_KEY", "C2PA_", "EXAMPLE_KEY", "MY_TOKEN", "OTHER_TOKEN"),
    *("RAY_", "TORCH"),  # set by these libraries themselves, once a test has imported them
)
"""Prefixes of the variables that nothing reads before a command runs. Prefect's are read when it is found; see `HiddenPrefect`."""
LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
SERVER_ENVIRON = {
    **{name: value for name, value in os.environ.items() if not name.startswith(PERSONAL_PREFIXES)},
    "PYTHONPATH": str(ROOT),
    **NO_TELEMETRY,
}
"""The environment in which everything is imported: of the test run, not of the test that happens to come first."""


class ForkedProcess(subprocess.Popen[str]):
    """A process as `subprocess` knows it, forked from the one behind `get_server` instead of being started."""

    def __init__(self, code: str, arguments: Sequence[str], **options: Any) -> None:
        """Run the code as `python -c` does; the options are those of `subprocess.Popen`."""
        self._answers, self._asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__([code, *arguments], text=True, **options)

    def _execute_child(self, args: list[str], *given: Any) -> None:
        names = (
            "executable",
            "preexec_fn",
            "close_fds",
            "pass_fds",
            "cwd",
            "env",
            "startupinfo",
            "creationflags",
            "shell",
        )
        options = dict(zip(names, given, strict=False))
        pipes = given[len(names) : len(names) + 6]
        streams = [
            own if pipe == -1 else pipe for pipe, own in zip(pipes[::2][:1] + pipes[3::2], (0, 1, 2), strict=True)
        ]
        order = {
            "arguments": args,
            "folder": str(options["cwd"]),
            "environ": dict(options["env"]),
            "session": bool(given[-2]),
            **_describe_process(),
        }
        socket.send_fds(get_server(), [json.dumps(order).encode()], [*streams, self._asked.fileno()])
        self._asked.close()
        self.pid = int(self._answers.recv(64))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # what Popen does once its child has them

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """Stands for `os.waitpid`, which knows no other process's children."""
        try:
            said = self._answers.recv(64, socket.MSG_DONTWAIT if wait_flags & os.WNOHANG else 0)
        except BlockingIOError:
            return 0, 0
        self._answers.close()
        return self.pid, int(said or signal.SIGKILL)

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid == self.pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]  # likewise
        return self.returncode


@cache
def get_server() -> socket.socket:
    """A connection to the process that forks itself for every order: one for all processes of the test run, started on the first call of any.

    It ends after the last of its connections. The run's keeper removes its folder.
    """
    folder = FOLDERS / f"{name_service_folder()}forks"
    folder.mkdir(mode=0o700, exist_ok=True)
    address = str(folder / "orders")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # or two would start it
        try:
            server.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):  # there is none yet, or the last one has ended
            _start_server(address)
            server.connect(address)
    atexit.register(server.close)
    return server


def _start_server(address: str) -> None:
    Path(address).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as orders:
        orders.bind(address)
        orders.listen(socket.SOMAXCONN)  # before it has imported everything: an order waits until it has
        command = [sys.executable, "-m", "tests.support.preloaded", str(orders.fileno())]
        # The run's mark may have been set after this module was imported; whatever is forked has it too, and ends with the run.
        environ = {**SERVER_ENVIRON, MARKS: os.environ.get(MARKS, "")}
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, pass_fds=[orders.fileno()])
    atexit.register(process.wait)  # `atexit` calls it after what is registered later, which ends the connection


def start_python(
    code: str, *arguments: str | Path, environ: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Start a process that runs the code as `python -c` does: forked where that is the same.

    Args:
        code: Python; it may import this project and its tests.
        arguments: Its `sys.argv[1:]`.
        environ: Its whole environment; this process's, and where the project is, unless given.
        options: Those of `subprocess.Popen`.
    """
    environ = {**os.environ, "PYTHONPATH": str(ROOT)} if environ is None else environ
    words = [str(argument) for argument in arguments]
    options = {"cwd": Path.cwd(), **options, "env": dict(environ)}
    if may_fork(environ):
        return ForkedProcess(code, words, **options)
    return subprocess.Popen([sys.executable, "-c", code, *words], text=True, **options)


def may_fork(environ: Mapping[str, str]) -> bool:
    """True on Linux, if the environment changes nothing that Python or a library reads while it is imported: a forked process is then the same as a started one."""
    return sys.platform == "linux" and _read_at_start(environ) == _read_at_start(SERVER_ENVIRON)


def _read_at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(READ_WHEN_USED)}


def _describe_process() -> dict[str, Any]:
    """What a started process has from the one that starts it, besides its folder and environment."""
    umask = os.umask(0o077)  # it can only be read by setting it
    os.umask(umask)
    return {
        "umask": umask,
        "limits": [(limit, *resource.getrlimit(limit)) for limit in LIMITS],
        # `subprocess` itself gives this one back to a program that it starts.
        "ignored": [n for n in signal.Signals if signal.getsignal(n) is signal.SIG_IGN and n is not signal.SIGPIPE],
    }
