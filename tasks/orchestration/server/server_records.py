"""Records of embedded servers: one small file each, so that what a killed run left behind is found and ended.

Takes the folder of the records; gives the record of a server and the removal of orphans. A process is ours only
when its id, its start time and the token in its command line all agree. So a process that merely got the same id, or a
server that the user started, is never touched. This module starts no process and does not know Prefect.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.core.atomic_files import write_atomically

# Seconds between SIGTERM and SIGKILL.
TERM_GRACE_S = 3.0
# Seconds after SIGKILL, to see that the process is gone.
KILL_GRACE_S = 1.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """One embedded server and the run that started it."""

    pid: int
    start_time: str
    """As `read_start_time` gives it; with the id it names one process, ids alone are used again."""
    port: int
    parent_pid: int
    parent_start_time: str
    token: str
    """Random text that stands in the server's command line and nowhere else."""

    @property
    def server_lives(self) -> bool:
        """True if the very process that was recorded is running."""
        return read_start_time(self.pid) == self.start_time and self.token in read_command_line(self.pid)

    @property
    def parent_lives(self) -> bool:
        """True if the very process that started the server is running."""
        return read_start_time(self.parent_pid) == self.parent_start_time

    def write(self, folder: Path) -> None:
        """Put the record on disk, whole or not at all: another run may be reading the folder."""
        write_atomically(self.path(folder), json.dumps(asdict(self)).encode())

    def path(self, folder: Path) -> Path:
        """The file the record is kept in."""
        return folder / f"{self.pid}.json"


def get_servers_folder(state_dir: Path) -> Path:
    """The folder of the records and of the output of running servers."""
    return state_dir / "servers"


def get_log_file(folder: Path, token: str) -> Path:
    """The file that the output of the server with this token goes to."""
    return folder / f"{token}.log"


def remove_orphans(state_dir: Path, *, term_grace_s: float = TERM_GRACE_S) -> int:
    """End the servers whose run is gone, forget what is stale, and give the number of servers ended.

    A server gets SIGTERM and, `term_grace_s` seconds later, SIGKILL.
    """
    folder = get_servers_folder(state_dir)
    ended = 0
    for path in folder.glob("*.json"):
        record = _read(path)
        if record is None:
            _unlink(path)
        elif not record.parent_lives:
            ended += _end(record, term_grace_s)
            _unlink(path)
            _unlink(get_log_file(folder, record.token))
    return ended


def _read(path: Path) -> ServerRecord | None:
    try:
        return ServerRecord(**json.loads(path.read_text(encoding="utf-8")))
    # A record that is not one: another program's file, or half of one.
    except (OSError, ValueError, TypeError):
        return None


def _unlink(path: Path) -> None:
    # A file that stays is looked at again by the next run: no reason to stop this one.
    with contextlib.suppress(OSError):
        path.unlink()


def _end(record: ServerRecord, term_grace_s: float) -> bool:
    """True if there was a server to end."""
    if not record.server_lives:
        return False
    for number, grace_s in ((signal.SIGTERM, term_grace_s), (signal.SIGKILL, KILL_GRACE_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, number)
        # A server that ends by itself between the two signals is gone, and the second one must not be sent.
        if _wait_until_gone(record, grace_s):
            break
    return True


def _wait_until_gone(record: ServerRecord, grace_s: float) -> bool:
    deadline = time.monotonic() + grace_s
    while record.server_lives:
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def read_start_time(pid: int) -> str | None:
    """When the process started, in the system's own terms; None when there is none, or only its zombie."""
    # macOS has no /proc; ps answers the same questions there.
    if not _has_proc():
        return _ask_ps_start_time(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # proc_pid_stat(5): the name stands in brackets and may hold anything; state is the first field after it,
    # the start time in clock ticks since boot the twentieth.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def read_command_line(pid: int) -> str:
    """The process's command line with spaces between its words; empty when there is no such process."""
    if not _has_proc():
        return _run_ps(pid, "command")
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


def _ask_ps_start_time(pid: int) -> str | None:
    state = _run_ps(pid, "stat")
    return None if not state or state.startswith("Z") else _run_ps(pid, "lstart")


def _run_ps(pid: int, column: str) -> str:
    """One column of `ps`, empty without such a process."""
    # The time is formatted by the locale and the zone, and two answers have to compare as text.
    command = ["/bin/ps", "-ww", "-o", f"{column}=", "-p", str(pid)]
    environ = {"LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603  fixed program, a number
