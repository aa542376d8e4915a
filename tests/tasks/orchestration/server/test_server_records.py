from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.orchestration.server.server_records import ServerRecord, get_servers_folder, read_start_time, remove_orphans
from tests.support.waiting import PATIENCE_S

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(3600)"
)


@contextlib.contextmanager
def _process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ignores SIGTERM, started with these words on its command line."""
    command = [sys.executable, "-c", IGNORES_SIGTERM, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def _record(state_dir: Path, pid: int, *, started: str | None = None, parent_started: str = "long ago") -> Path:
    """Record the process as a server with the token `0123`, by default of a run that is gone."""
    get_servers_folder(state_dir).mkdir()
    record = ServerRecord(
        pid=pid,
        start_time=started or read_start_time(pid) or "",
        port=1,
        parent_pid=os.getpid(),
        parent_start_time=parent_started,
        token="0123",
    )
    record.write(get_servers_folder(state_dir))
    return record.path(get_servers_folder(state_dir))


def test_orphan_is_ended(tmp_path: Path) -> None:
    """A server whose run is gone is ended even when it ignores SIGTERM, and forgotten."""
    with _process("0123") as process:
        record = _record(tmp_path, process.pid)
        assert remove_orphans(tmp_path, term_grace_s=0.1) == 1
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert not record.exists()


def test_server_of_a_living_run_is_left_alone(tmp_path: Path) -> None:
    """Two runs at once have a server each: neither ends the other's."""
    with _process("0123") as process:
        record = _record(tmp_path, process.pid, parent_started=read_start_time(os.getpid()) or "")
        assert remove_orphans(tmp_path, term_grace_s=0.1) == 0
        assert process.poll() is None
    assert record.exists()


def test_process_without_our_token_is_left_alone(tmp_path: Path) -> None:
    """A process that merely has the recorded id is not ours; the record is stale and goes."""
    with _process("4567") as process:
        record = _record(tmp_path, process.pid)
        assert remove_orphans(tmp_path, term_grace_s=0.1) == 0
        assert process.poll() is None
    assert not record.exists()


def test_process_with_another_start_time_is_left_alone(tmp_path: Path) -> None:
    """Id and token are not enough: the process must have started when ours did."""
    with _process("0123") as process:
        record = _record(tmp_path, process.pid, started="1")
        assert remove_orphans(tmp_path, term_grace_s=0.1) == 0
        assert process.poll() is None
    assert not record.exists()


def test_unreadable_record_is_dropped(tmp_path: Path) -> None:
    """A damaged record stops no run."""
    get_servers_folder(tmp_path).mkdir()
    (get_servers_folder(tmp_path) / "1.json").write_text("{")
    assert remove_orphans(tmp_path) == 0
    assert not list(get_servers_folder(tmp_path).iterdir())


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="no ps to ask")
def test_processes_are_known_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems without /proc ask `ps`, with the same answer at every time of the day."""
    monkeypatch.setattr("tasks.orchestration.server.server_records._has_proc", lambda: False)
    with _process("0123") as process:
        _record(tmp_path, process.pid)
        assert remove_orphans(tmp_path, term_grace_s=0.1) == 1
        assert process.poll() == -signal.SIGKILL
    assert read_start_time(process.pid) is None
