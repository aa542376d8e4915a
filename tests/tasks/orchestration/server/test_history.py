from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tasks.orchestration.server.connection import ServerHandle, connect, set_quiet_defaults
from tasks.orchestration.server.history import KEPT
from tasks.orchestration.server.launch import get_database_file
from tasks.orchestration.server.server_records import ServerRecord, get_servers_folder
from tests.support.services.asking import CLIENT
from tests.support.waiting import PATIENCE_S, eventually

NOWHERE = "http://127.0.0.1:1/api"
DAY = timedelta(days=1)


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment of a user who has set nothing for Prefect."""
    monkeypatch.chdir(tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    kept["PREFECT_HOME"] = str(tmp_path / "prefect-home")
    set_quiet_defaults(kept)
    return kept


def _connect(state_dir: Path, environ: dict[str, str]) -> ServerHandle:
    return connect(state_dir, environ, on_wait=lambda _s: None, startup_timeout_s=PATIENCE_S, default_api_url=NOWHERE)


@pytest.mark.server
def test_a_temporary_server_forgets_runs_after_a_month(tmp_path: Path, environ: dict[str, str]) -> None:
    """A run of 31 days ago goes with its task run, log and artifact, also one that a kill left running; one of 29 days stays."""
    handle = _connect(tmp_path, environ)
    old, killed, young = (_add_run(handle.api_url, state) for state in ("COMPLETED", "RUNNING", "COMPLETED"))
    handle.stop()
    database = get_database_file(get_servers_folder(tmp_path))
    with closing(sqlite3.connect(database)) as db, db:
        for run, age in ((old, KEPT + DAY), (killed, KEPT + DAY), (young, KEPT - DAY)):
            began = f"{datetime.now(UTC) - age:%Y-%m-%d %H:%M:%S.%f}"
            db.execute("UPDATE flow_run SET expected_start_time = ? WHERE id = ?", (began, run))
    handle = _connect(tmp_path, environ)
    try:
        for table in ("flow_run", "task_run", "log", "artifact"):
            eventually(lambda table=table: _list_runs(database, table) == {young})  # type: ignore[misc]
    finally:
        handle.stop()


def _add_run(api_url: str, state: str) -> str:
    """A flow run with something of each kind that belongs to one; gives its id."""
    flow = _post(f"{api_url}/flows/", {"name": "generate-batch"})["id"]
    run = _post(f"{api_url}/flow_runs/", {"flow_id": flow, "state": {"type": state}})["id"]
    task = {"flow_run_id": run, "task_key": "shard", "dynamic_key": "0", "state": {"type": state}}
    _post(f"{api_url}/task_runs/", task)
    _post(f"{api_url}/artifacts/", {"flow_run_id": run, "key": "summary", "type": "markdown", "data": "48 of 50"})
    line = {"name": "imagen", "level": 20, "message": "reading", "flow_run_id": run}
    answer = CLIENT.post(f"{api_url}/logs/", json=[{**line, "timestamp": datetime.now(UTC).isoformat()}])
    assert answer.status_code == httpx.codes.CREATED
    return run


def _post(url: str, body: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = CLIENT.post(url, json=body).raise_for_status().json()
    return found


def _list_runs(database: Path, table: str) -> set[str]:
    column = "id" if table == "flow_run" else "flow_run_id"
    with closing(sqlite3.connect(database)) as db:
        return {run for (run,) in db.execute(f"SELECT {column} FROM {table}")}


@pytest.mark.server
def test_databases_of_other_versions_go_after_a_month(tmp_path: Path, environ: dict[str, str]) -> None:
    """An update of Prefect leaves the database of the last version behind; one that was written to last week stays."""
    folder = get_servers_folder(tmp_path)
    folder.mkdir()
    for name, age in (
        ("prefect-3.0.0.db", KEPT + DAY),
        ("prefect-3.0.0.db-wal", KEPT + DAY),
        ("prefect-3.1.0.db", DAY),
    ):
        (folder / name).write_bytes(b"")
        written_s = time.time() - age.total_seconds()
        os.utime(folder / name, (written_s, written_s))
    _connect(tmp_path, environ).stop()
    kept = {path.name for path in folder.glob("prefect-*.db*")} - {
        f"{get_database_file(folder).name}{it}" for it in ("", "-wal", "-shm")
    }
    assert kept == {"prefect-3.1.0.db"}


@pytest.mark.server
def test_a_start_that_cannot_be_recorded_leaves_nothing(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full at that moment leaves neither an output file nor a process."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ServerRecord, "write", fail)
    with pytest.raises(Exception, match="No space left on device"):
        _connect(tmp_path, environ)
    assert {path.name for path in get_servers_folder(tmp_path).iterdir()} == {"start.lock"}
