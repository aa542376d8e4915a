"""Tests call `imagen` in forked processes: they are the same as started ones, as far as any program can tell."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.forked_process import READ_WHEN_USED, ROOT, SERVER_ENVIRON, ForkedProcess, get_server, may_fork
from tests.support.preloaded import Connections
from tests.support.surroundings import NO_TELEMETRY

DESCRIBE = """
import json, locale, logging, os, resource, signal, sys, tempfile, time, warnings
def streams():
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        yield [getattr(stream, name) for name in ("encoding", "errors", "line_buffering", "write_through", "newlines", "mode")]
def loggers():
    for name in ("", "prefect", "prefect.flow_runs", "prefect.extra", "uvicorn", "httpx", "asyncio"):
        logger = logging.getLogger(name)
        yield [name, logger.level, logger.propagate, [type(handler).__name__ for handler in logger.handlers]]
umask = os.umask(0)
before = {
    "umask": umask, "folder": os.getcwd(), "arguments": sys.argv, "path": sys.path, "environment": dict(os.environ),
    "limits": [resource.getrlimit(number) for number in range(8)], "streams": list(streams()),
    "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "group": os.getpgid(0), "zone": time.tzname, "locale": locale.getlocale(), "temporary": tempfile.gettempdir(),
    "main": sorted(name for name in vars(sys.modules["__main__"]) if name[:2] != "__"), "loggers": list(loggers()),
    "warnings": [str(entry) for entry in warnings.filters], "prefect": "prefect" in sys.modules,
    "descriptors": sorted(set(os.listdir("/proc/self/fd")) & set("0123456789")),
}
import prefect
from prefect import flow
after = {"loggers": list(loggers()), "level": str(prefect.settings.PREFECT_LOGGING_LEVEL.value()), "home": str(prefect.settings.PREFECT_HOME.value())}
print(json.dumps([before, after], default=str))
"""
LAST_WORDS = """
import atexit, logging, os, sys, threading, time
def close():
    os.close(1)
atexit.register(print, "at the end")
atexit.register(logging.getLogger("x").error, "logged at the end")
threading.Thread(target=lambda: (time.sleep(0.2), print("from a thread"))).start()
print("unflushed", end=" ")
"""
AUDIT = """
import importlib, os, sys, traceback
seen = []
class Environ(type(os.environ)):
    def __getitem__(self, name):
        files = [frame.filename for frame in traceback.extract_stack()]
        if not any("/site-packages/prefect/" in file for file in files):
            seen.append(name)
        return super().__getitem__(name)
os.environ.__class__ = Environ
from tests.support.preloaded import IMPORTED
for name in IMPORTED:
    importlib.import_module(name)
print(*seen)
"""

STARTER = """
import socket, struct
from tests.support.forked_process import get_server
print(struct.unpack("3i", get_server().getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every call is started")


@pytest.fixture
def _odd_process() -> Iterator[None]:
    """This process as few are: with a umask, a limit and an ignored signal of its own."""
    umask, limits = os.umask(0o027), resource.getrlimit(resource.RLIMIT_NOFILE)
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0] - 1, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    signal.signal(signal.SIGHUP, handler)
    os.umask(umask)


@pytest.mark.soak  # loads Prefect in both
@pytest.mark.usefixtures("_odd_process")
def test_a_forked_process_is_as_a_started_one(tmp_path: Path) -> None:
    """It has the same surroundings before it imports anything, and the same Prefect after it has imported that."""
    given = {"TZ": "Asia/Kolkata", "PREFECT_HOME": str(tmp_path / "home"), "PREFECT_LOGGING_LEVEL": "ERROR"}
    environ = {**os.environ, **given, "PYTHONPATH": SERVER_ENVIRON["PYTHONPATH"], "TMPDIR": str(tmp_path)}
    assert may_fork(environ)
    options: dict[str, Any] = {"cwd": tmp_path, "env": environ, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    forked = ForkedProcess(DESCRIBE, ["word"], **options)
    started = subprocess.Popen([sys.executable, "-c", DESCRIBE, "word"], text=True, **options)
    [one, other] = [json.loads(process.communicate()[0]) for process in (forked, started)]
    for a, b in zip(one, other, strict=True):
        for name, value in b.items():
            assert a[name] == value, name


@pytest.mark.parametrize("name", ["PYTHONWARNINGS", "LANG", "SSL_CERT_FILE", "NO_COLOR", "OMP_NUM_THREADS", "ODD"])
def test_a_variable_that_is_read_at_the_start_is_set_for_a_started_process(name: str) -> None:
    """Whatever is not known to be read later is taken to be read while Python or a library starts."""
    assert may_fork({**SERVER_ENVIRON, **NO_TELEMETRY, "HOME": "/elsewhere", "PREFECT_API_URL": "http://127.0.0.1:1"})
    assert not may_fork({**SERVER_ENVIRON, name: "1"})


@pytest.mark.soak  # loads everything once more, under a watch
def test_nothing_reads_while_it_is_imported_what_a_test_may_change() -> None:
    """Prefect aside, which reads its settings anew, and Python's own search for packages of the user, which are none."""
    done = subprocess.run([sys.executable, "-c", AUDIT], env=SERVER_ENVIRON, capture_output=True, text=True, check=True)
    assert {name for name in done.stdout.split() if name.startswith(READ_WHEN_USED)} <= {"HOME", *NO_TELEMETRY}


@pytest.mark.parametrize(
    "end",
    ["pass", "sys.exit(300)", "sys.exit('told')", "raise ValueError('broken')", "raise KeyboardInterrupt", "close()"],
)
def test_a_forked_process_ends_as_a_started_one(end: str) -> None:
    """Its exit status and what it still prints: of threads that run on, of those that wait for its end, of what broke."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": SERVER_ENVIRON}
    options |= {"cwd": "/", "stdin": subprocess.DEVNULL}
    forked = ForkedProcess(LAST_WORDS + end, [], **options)
    started = subprocess.Popen([sys.executable, "-c", LAST_WORDS + end], text=True, **options)
    (out, err), (expected, told) = forked.communicate(), started.communicate()
    assert (forked.returncode, out, err.splitlines()[-1:]) == (started.returncode, expected, told.splitlines()[-1:])


def test_all_processes_of_a_test_run_fork_from_one() -> None:
    """Another process of the run finds the server that this one has found, and starts none."""
    [starter, _, _] = struct.unpack("3i", get_server().getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    done = subprocess.run([sys.executable, "-c", STARTER], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == starter


def test_the_server_ends_with_the_last_who_gives_orders(tmp_path: Path) -> None:
    """An order of each is heard, who connects before the end is still served, and nobody can connect after it."""
    address = str(tmp_path / "orders")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    connections = Connections(listener)
    first, second, last = (socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3))
    first.connect(address)
    second.connect(address)
    second.send(b"a")
    heard = []
    for connection in connections.wait():
        order = connection.recv(1)
        heard.append(order)
        if order == b"a":
            first.send(b"b")
        elif order == b"b":
            first.close()
            second.close()
        elif last.fileno() != -1 and len(heard) == 4:
            last.connect(address)
            last.send(b"c")
        if order == b"c":
            last.close()
        if not order:
            connections.end(connection)
    assert heard == [b"a", b"b", b"", b"", b"c", b""]
    assert not (tmp_path / "orders").exists()
