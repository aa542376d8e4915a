"""Calls of `imagen` in processes of their own that are forked from one that has imported everything already.

Importing Prefect and the rest takes two seconds of CPU, and the tests call `imagen` hundreds of times. A forked process has its own signals,
environment, folder, streams and exit status, as a started one has. Prefect is hidden from it until it imports Prefect itself, and reads its settings
then: everything that must come before that import still must.

The process that is forked is started as: python -m tests.support.preloaded FD
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
LONGEST_ORDER = 2**17
READ_AT_START = ("PYTHON", "LC_", "LANG", "MALLOC_")
"""Prefixes of the variables that a Python process reads once, when it starts."""
IMPORTED = ("flows.generate_batch", "flows.cli", "tasks.runs.run", "tasks.backends.sketch.backend", "pyarrow.parquet")
"""The imports of most calls; the others import what else they need."""
IMPORTED_AGAIN = ("flows", "tasks.orchestration")
"""The packages that import Prefect."""


class ForkedProcess(subprocess.Popen[str]):
    """A process as `subprocess` knows it, forked from the one behind `server` instead of being started."""

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
    """The socket of a process that forks itself for every order and ends with this one; started on the first call."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.support.preloaded", str(its.fileno())]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()])
    its.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def may_fork(environ: dict[str, str]) -> bool:
    """True on Linux, if the environment changes nothing that Python reads when it starts: a forked process is then the same as a started one."""
    begun = {name: value for name, value in os.environ.items() if name.startswith(READ_AT_START)}
    asked = {name: value for name, value in environ.items() if name.startswith(READ_AT_START)}
    return (
        sys.platform == "linux"
        and asked | {"PYTHONPATH": ""} == begun | {"PYTHONPATH": ""}
        and environ.get("PYTHONPATH") == str(ROOT)
    )


class HiddenPrefect(MetaPathFinder, Loader):
    """Prefect, imported before, taken away, and found again, whole, when it is imported."""

    def __init__(self) -> None:
        """Take it away."""
        self._modules = {name: sys.modules.pop(name) for name in _find_loaded("prefect")}

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The package as it was, with the settings of now."""
        if fullname != "prefect":
            return None
        sys.meta_path.remove(self)
        sys.modules.update(self._modules)
        self._modules["prefect.context"].refresh_global_settings_context()
        self._modules["prefect.logging.configuration"].setup_logging()  # levels come from the settings, and were set
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The very module."""
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has run already."""


def _find_loaded(package: str) -> list[str]:
    return [name for name in sys.modules if name == package or name.startswith(f"{package}.")]


def serve(orders: socket.socket) -> None:
    """Fork for every order; in the forked process this returns never, but ends with what the order runs."""
    for name in IMPORTED:
        importlib.import_module(name)
    for name in [name for package in IMPORTED_AGAIN for name in _find_loaded(package)]:
        del sys.modules[name]
    sys.meta_path.insert(0, HiddenPrefect())
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that `_mind` runs in
    while True:
        order, streams, _, _ = socket.recv_fds(orders, LONGEST_ORDER, 4)
        if not order:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            orders.close()
            _mind(json.loads(order), streams)
            return
        for stream in streams:
            os.close(stream)


def _mind(order: dict[str, Any], streams: list[int]) -> None:
    """Fork once more; tell the asker the process's id and, when it has ended, how."""
    if (pid := os.fork()) == 0:
        _become(order, streams)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: for the process, not for who waits for it
    for stream in streams[:3]:
        os.close(stream)
    os.write(streams[3], str(pid).encode())
    _, status = os.waitpid(pid, 0)
    os.write(streams[3], str(status).encode())
    os._exit(0)


def _become(order: dict[str, Any], streams: list[int]) -> None:
    """Be a process like one that was started as the order says, and run it."""
    for number, stream in enumerate(streams[:3]):
        os.dup2(stream, number)
    os.closerange(3, max(streams) + 1)
    _open_streams()
    if order["session"]:
        os.setsid()
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    tempfile.tempdir = None
    code, *arguments = order["arguments"]
    sys.argv = ["-c", *arguments]
    sys.path[0] = ""
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    exec(code, main.__dict__)  # noqa: S102  the same text that `python -c` would run


def _open_streams() -> None:
    """Open the standard streams anew: those of before know whether they could seek in what was there then."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, name)
        stream = open(  # noqa: SIM115  a standard stream stays open
            number, before.mode, 1 if number == 2 else -1, encoding=before.encoding, errors=before.errors, closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
