"""A temporary Prefect server: started as a process of its own, waited for, ended with its files.

Its database lies beside its records in the state folder and belongs to one version of Prefect. The user's own
database may have been migrated by a newer Prefect of another environment, which would keep this one from starting.
Whether a server is needed is decided in `connection`; `server_records` ends the orphans of killed runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.orchestration.server.failures import find_cause, find_disk_problem
from tasks.orchestration.server.health import ServerError, is_healthy
from tasks.orchestration.server.history import remove_old_databases
from tasks.orchestration.server.server_records import ServerRecord, get_log_file, read_start_time

SERVER_PROCESS = Path(__file__).with_name("process.py")
SERVER_ENVIRONMENT = {
    "PREFECT__SERVER_EPHEMERAL": "1",  # only the services a single run needs, no scheduler, no UI
    "PREFECT__SERVER_FINAL": "1",  # no second server in the process: Prefect frees what it needs to build one
    "PREFECT_SERVER_UI_ENABLED": "0",
    "PREFECT_SERVER_API_BASE_PATH": "/api",  # a path meant for the user's own server would hide ours
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "1",  # a new database has no tables, whatever the user's server does
}
OWN_SETTINGS = re.compile(
    r"PREFECT_(SERVER|API)_(DATABASE|CORS|AUTH_STRING|API_CORS|API_AUTH_STRING)\w*", re.IGNORECASE
)
"""Settings that users make for a server of their own: its database, its login, and the pages that may ask it."""
# Seconds of one look; a start takes many looks.
HEALTH_TIMEOUT_S = 2.0
# Seconds between two looks. A start is 10 to 25 s, so a look costs little beside it.
POLL_S = 0.05
# Seconds between two words to the user.
REPORT_S = 1.0
# Seconds between SIGTERM and SIGKILL.
STOP_GRACE_S = 5.0


@dataclass(slots=True, kw_only=True)
class Waiting:
    """The clock of one start: paces the polls, tells the user, knows the end."""

    on_wait: Callable[[float], None]
    timeout_s: float
    _began: float = field(default_factory=time.monotonic)
    _reported_s: float = 0.0

    def pause(self) -> bool:
        """Sleep until the next poll; False when the time is up."""
        time.sleep(POLL_S)
        elapsed_s = time.monotonic() - self._began
        if elapsed_s - self._reported_s >= REPORT_S:
            self._reported_s = elapsed_s
            self.on_wait(elapsed_s)
        return elapsed_s < self.timeout_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporaryServer:
    """A server process of ours with the files that belong to it."""

    process: subprocess.Popen[bytes]
    folder: Path
    record: ServerRecord

    @property
    def database(self) -> Path:
        """The SQLite file that Prefect keeps in; what earlier runs did is in it."""
        return get_database_file(self.folder)

    def find_problem(self) -> str | None:
        """The reason why it does not do its work; None where nothing tells."""
        # A full disk first: it keeps the reason out of the log too.
        return find_disk_problem(self.folder) or find_cause(get_log_file(self.folder, self.record.token))

    @property
    def api_url(self) -> str:
        """The value for `PREFECT_API_URL`."""
        return f"http://127.0.0.1:{self.record.port}/api"

    def stop(self) -> None:
        """End the process and its files; the output of one that failed is kept, in place of the last such."""
        # A server that was still running ended because it was told to, which is no failure.
        failed = self.process.poll() is not None
        self._end()
        if failed:
            self.keep_log()
        get_log_file(self.folder, self.record.token).unlink(missing_ok=True)
        self.record.path(self.folder).unlink(missing_ok=True)

    def _end(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def keep_log(self) -> Path:
        """Move the output to where it stays, and give the place."""
        kept = self.folder / "last-failure.log"
        with contextlib.suppress(FileNotFoundError):
            get_log_file(self.folder, self.record.token).replace(kept)
        return kept


# Named by the version: Prefect migrates a database when it starts, and an older Prefect cannot read it afterwards.
def get_database_file(folder: Path) -> Path:
    """The database of temporary servers of the installed version of Prefect."""
    return folder / f"prefect-{version('prefect')}.db"


def start_server(folder: Path, environ: Mapping[str, str], waiting: Waiting) -> TemporaryServer:
    """A server that answers, on a free port of this machine; `folder` is made where it is missing.

    Raises:
        ServerError: it ended, or did not answer in time. Its process is gone, its output is kept.
        OSError: the folder or the process could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock_starts(folder, waiting):
        remove_old_databases(folder, get_database_file(folder), datetime.now(UTC))
        server = _launch(folder, environ)
        # Waited for inside the lock: two servers that start at once write to one database.
        try:
            _wait_until_healthy(server, waiting)
        except BaseException:
            server.stop()
            raise
    return server


@contextlib.contextmanager
def _lock_starts(folder: Path, waiting: Waiting) -> Iterator[None]:
    """Hold off other starts: of ten pairs that made one new database at once, one failed (prefect 3.8.8, 2026-11)."""
    lock = FileLock(folder / "start.lock")
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not waiting.pause():
                raise ServerError(
                    f"Another run has been starting Prefect's temporary server for {waiting.timeout_s:.0f} s "
                    f"(it holds {lock.lock_file}). End that run, or try again later."
                ) from None
    try:
        yield
    finally:
        lock.release()


def _launch(folder: Path, environ: Mapping[str, str]) -> TemporaryServer:
    """Start the process on a port that is already bound, so that no other program can take it meanwhile."""
    token = secrets.token_hex(8)
    with socket.socket() as listener, get_log_file(folder, token).open("wb") as log:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        process = subprocess.Popen(  # noqa: S603  our own file and interpreter
            # Isolated from the working folder (-P) and its own file: a `tasks` folder there would be taken for ours.
            [sys.executable, "-P", str(SERVER_PROCESS), token, str(listener.fileno())],
            env=_build_environment(environ, port, get_database_file(folder)),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # the terminal's Ctrl-C is for the run, which needs the server while it drains
        )
    record = ServerRecord(
        pid=process.pid,
        start_time=read_start_time(process.pid) or "",
        port=port,
        parent_pid=os.getpid(),
        parent_start_time=read_start_time(os.getpid()) or "",
        token=token,
    )
    server = TemporaryServer(process=process, folder=folder, record=record)
    try:
        record.write(folder)
    # On a full disk: without a record nobody would find the process and its output.
    except BaseException:
        server.stop()
        raise
    return server


def _build_environment(environ: Mapping[str, str], port: int, database: Path) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if not OWN_SETTINGS.fullmatch(name)}
    own = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database.absolute()}",
        # Prefect's default lets every web page that the user opens read and change what is here.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
    }
    return kept | SERVER_ENVIRONMENT | own


def _wait_until_healthy(server: TemporaryServer, waiting: Waiting) -> None:
    # A server that has bound its port may still be migrating its database; only its answer counts.
    while not is_healthy(server.api_url, timeout_s=HEALTH_TIMEOUT_S):
        status = server.process.poll()
        if status is not None:
            raise _build_start_error(server, "stopped while starting", _describe_exit(status))
        if not waiting.pause():
            raise _build_start_error(server, f"did not answer within {waiting.timeout_s:.0f} s", "this machine is busy")


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}, which a system that is out of memory sends too"


def _build_start_error(server: TemporaryServer, what: str, otherwise: str) -> ServerError:
    cause, kept = server.find_problem() or otherwise, server.keep_log()
    return ServerError(
        f"Prefect's temporary server {what}: {cause}\n"
        f"    output: {kept}\n"
        f"    database: {server.database} (history of earlier runs only; delete it if it is damaged)\n"
        "    or use a server of your own: start `prefect server start`, or set PREFECT_API_URL"
    )
