"""Calls of `imagen` in processes of their own that are forked from one that has imported everything already.

Importing Prefect and the rest takes two seconds of CPU, and the tests call `imagen` hundreds of times. A forked process has its own signals,
limits, environment, folder, streams and exit status, as a started one has. Prefect is hidden from it until it imports Prefect itself, and reads
its settings then: everything that must come before that import still must. `forked_process.may_fork` tells the calls for which that is not enough.

The process that is forked is started as: python -m tests.support.preloaded FD
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import logging
import os
import resource
import selectors
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, cast

ROOT = Path(__file__).parents[2]
LONGEST_ORDER = 2**17
IMPORTED = (
    *(
        "flows.cli",
        "flows.commands.run",
        "flows.commands.resume",
        "flows.cli_support.screen",
        "tasks.runs.run",
        "tasks.manifest.formats.json_rows",
        "tasks.report.displays",
    ),
    *("tasks.backends.sketch.backend", "tasks.backends.sketch.art", "tasks.usage.sinks.sqlite", "pyarrow.parquet"),
    *("sqlalchemy.dialects.sqlite.aiosqlite", "fastapi", "flows.generate_batch"),
)
"""The imports of most calls; the others import what else they need. What imports Prefect comes last."""
IMPORTED_AGAIN = ("flows", "tasks.orchestration")
"""The packages of which some modules import Prefect."""


class HiddenPrefect(MetaPathFinder, Loader):
    """Prefect, imported before, taken away, and found again, whole, when it is imported."""

    def __init__(self, filters: Sequence[Any]) -> None:
        """Take it away; the filters are those of warnings, as they were when all was imported."""
        self._filters = list(filters)
        self._modules = {name: sys.modules.pop(name) for name in _find_loaded("prefect")}
        _forget_logging(self._modules["prefect.logging.configuration"].PROCESS_LOGGING_CONFIG)

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The package as it was, with the settings of now."""
        if fullname != "prefect":
            return None
        sys.meta_path.remove(self)
        sys.modules.update(self._modules)
        warnings.filters[:] = self._filters  # type: ignore[index]  # a list, whatever is declared
        self._modules["prefect.context"].refresh_global_settings_context()
        self._modules["prefect.logging.configuration"].setup_logging()
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The very module."""
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has run already."""


def _forget_logging(config: dict[str, Any]) -> None:
    """Take back what Prefect's import did to logging: without Prefect a process logs as Python does by itself."""
    for name in ["", *config["loggers"]]:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.WARNING if not name else logging.NOTSET)
        logger.propagate = True
    config.clear()  # so that the next set-up is a whole one


def _forget(name: str) -> None:
    package, _, attribute = name.rpartition(".")
    del sys.modules[name]
    if attribute in vars(sys.modules.get(package, object)):
        delattr(sys.modules[package], attribute)


def _find_loaded(package: str) -> list[str]:
    return [name for name in sys.modules if name == package or name.startswith(f"{package}.")]


def serve(listener: socket.socket) -> None:
    """Fork for every order; in the forked process this returns never, but ends with what the order runs."""
    with warnings.catch_warnings():  # libraries set filters for the whole process
        for name in IMPORTED[:-1]:
            importlib.import_module(name)
        without_prefect = set(sys.modules)
        importlib.import_module(IMPORTED[-1])
        filters = list(warnings.filters)
    loaded = [name for package in IMPORTED_AGAIN for name in _find_loaded(package)]
    for name in [name for name in loaded if name not in without_prefect]:
        _forget(name)
    sys.meta_path.insert(0, HiddenPrefect(filters))
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that `_mind` runs in
    connections = Connections(listener)
    for connection in connections.wait():
        order, streams, _, _ = socket.recv_fds(connection, LONGEST_ORDER, 4)
        if not order:
            connections.end(connection)
            continue
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            connections.forget()
            _mind(json.loads(order), streams)
            return
        for stream in streams:
            os.close(stream)


class Connections:
    """Those who give orders: the processes of one test run."""

    def __init__(self, listener: socket.socket) -> None:
        """Accept whoever connects to this one."""
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        listener.setblocking(False)

    def wait(self) -> Iterator[socket.socket]:
        """Give each connection that has something to say, until all of them have ended."""
        while self._selector.get_map():
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    yield cast("socket.socket", key.fileobj)

    def end(self, connection: socket.socket) -> None:
        """Forget this one; with the last one, nobody can connect any more."""
        self._selector.unregister(connection)
        connection.close()
        if len(self._selector.get_map()) > 1 or self._listener.fileno() == -1:
            return
        Path(self._listener.getsockname()).unlink(missing_ok=True)  # whoever comes now starts another server
        while self._accept():
            pass  # and who came before is still served
        self._selector.unregister(self._listener)
        self._listener.close()

    def forget(self) -> None:
        """Close all in a process that takes no orders."""
        for key in list(self._selector.get_map().values()):
            cast("socket.socket", key.fileobj).close()
        self._selector.close()

    def _accept(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # nobody is there, or the listener has just been closed
            return False
        connection.setblocking(True)
        self._selector.register(connection, selectors.EVENT_READ)
        return True


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
    os.umask(order["umask"])
    for limit, soft, hard in order["limits"]:
        resource.setrlimit(limit, (soft, hard))
    for number in order["ignored"]:
        signal.signal(number, signal.SIG_IGN)
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
    atexit.register(_leave, left := Left())
    atexit.unregister(logging.shutdown)  # it must come before, and was registered before this process was forked
    atexit.register(logging.shutdown)
    try:
        exec(code, main.__dict__)  # noqa: S102  the same text that `python -c` would run
    except SystemExit as exc:
        left.status = exc.code if isinstance(exc.code, int) else None
        raise
    left.status = 0


@dataclass
class Left:
    """How the order has ended."""

    status: int | None = None
    """None if Python has something to say about it."""


def _leave(left: Left) -> None:
    """End the process where only its memory is left to be freed: a fork would copy all of it for that, in half the time of a short call."""
    if left.status is None:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # Python tries once more, and ends as it does then
    os._exit(left.status & 0xFF)


def _open_streams() -> None:
    """Open the standard streams anew, as Python does when it starts: those of before know whether they could seek in what was there then."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, name)
        at_once = os.environ.get("PYTHONUNBUFFERED", "") != ""
        binary = open(number, f"{before.mode}b", 0 if at_once and number else -1, closefd=False)  # noqa: SIM115  it stays open
        stream = io.TextIOWrapper(
            binary,
            encoding=before.encoding,
            errors=before.errors,
            newline="\n" if number else None,
            line_buffering=not at_once and (number == 2 or os.isatty(number)),
            write_through=at_once,
        )
        stream.mode = before.mode  # type: ignore[misc]  # as Python itself sets it
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
