"""A temporary Prefect server: started as a process of its own, waited for, ended with its files.

Takes a folder for records and output, and the environment the server is to run in; gives a server that answers, or
one error that names its output. The server keeps its data where the user's Prefect keeps it. Whether one is needed at
all, and the orphans of killed runs, are not decided here (`tasks.orchestration.server.connection`, `tasks.orchestration.server.server_records`).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import secrets
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from tasks.core.errors import ImagenError
from tasks.orchestration.server.server_records import ServerRecord, get_log_file, read_start_time

SERVER_PROCESS = Path(__file__).with_name("process.py")
SERVER_ENVIRONMENT = {
    "PREFECT__SERVER_EPHEMERAL": "1",  # only the services a single run needs, no scheduler, no UI
    "PREFECT__SERVER_FINAL": "1",  # no second server in the process: Prefect frees what it needs to build one
    "PREFECT_SERVER_UI_ENABLED": "0",
    "PREFECT_SERVER_API_BASE_PATH": "/api",  # a path meant for the user's own server would hide ours
}
HEALTH_TIMEOUT_S = 2.0
POLL_S = 0.05
REPORT_S = 1.0
STOP_GRACE_S = 5.0
TAIL_LINES = 5
TAIL_BYTES = 8192


class ServerError(ImagenError):
    """Raised when there is no Prefect server to talk to. Nothing was spent; trying again may help."""


def is_healthy(api_url: str, *, timeout_s: float) -> bool:
    """Whether a Prefect API answers here. Another program on the port does not count, whatever it answers."""
    parts = urlsplit(api_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path}/health")
        answer = connection.getresponse()
        return answer.status == http.client.OK and answer.read(16).strip() == b"true"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def require_answer(api_url: str, *, timeout_s: float) -> None:
    """Pass when the user's server answers at all; whether it lets us in, Prefect finds out.

    Raises:
        ServerError: nothing answers there.
    """
    # A password in it is for Prefect to send; here it would only be in the way, and on the screen.
    url = re.sub("//[^/]*@", "//", api_url)
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=timeout_s):  # noqa: S310  the user's URL
            pass
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, ValueError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", exc)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return  # somebody answers; Prefect has settings of its own for whom it trusts
        raise ServerError(
            f"the Prefect server at {url} (PREFECT_API_URL) does not answer ({reason}): "
            "start it, or unset PREFECT_API_URL to use a temporary one"
        ) from None


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
    def api_url(self) -> str:
        """What `PREFECT_API_URL` is to be."""
        return f"http://127.0.0.1:{self.record.port}/api"

    def stop(self) -> None:
        """End the process and its files; the output of one that failed is kept, in place of the last such."""
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


def start_server(folder: Path, environ: Mapping[str, str], waiting: Waiting) -> TemporaryServer:
    """A server that answers, on a free port of this machine; `folder` is made where it is missing.

    Raises:
        ServerError: it ended, or did not answer in time. Its process is gone, its output is kept.
        OSError: the folder or the process could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock_starts(folder, waiting):
        server = _launch(folder, environ)
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
            [sys.executable, "-P", str(SERVER_PROCESS), token, str(listener.fileno())],
            env={**environ, **SERVER_ENVIRONMENT},
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
    record.write(folder)
    return TemporaryServer(process=process, folder=folder, record=record)


def _wait_until_healthy(server: TemporaryServer, waiting: Waiting) -> None:
    while not is_healthy(server.api_url, timeout_s=HEALTH_TIMEOUT_S):
        status = server.process.poll()
        if status is not None:
            raise _build_start_error(server, f"stopped while starting (exit status {status})")
        if not waiting.pause():
            raise _build_start_error(server, f"did not answer within {waiting.timeout_s:.0f} s")


def _build_start_error(server: TemporaryServer, what: str) -> ServerError:
    kept = server.keep_log()
    lines = [f"Prefect's temporary server {what}. Set PREFECT_API_URL to use another one. Its output is in {kept}:"]
    return ServerError("\n    ".join(lines + (_read_last_lines(kept) or ["(nothing)"])))


def _read_last_lines(path: Path) -> list[str]:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        text = log.read().decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]
