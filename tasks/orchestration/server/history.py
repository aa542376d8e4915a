"""The history of temporary servers, bounded by age: without this their database grows with every run.

Prefect's own housekeeping forgets events, but no flow runs, on a server that ends with its run. So each start asks the
new server, by Prefect's API, to delete the oldest ones. A server of the user's own keeps what its user lets it keep.
"""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.core.database import list_sqlite_files

KEPT = timedelta(days=30)
"""`imagen resume --flow-run` and the server's database know runs of this age."""
MOST_RUNS = 10
"""Of one start: a night adds one, so whatever has piled up is gone after some nights, and no run waits long."""
MOST_S = 5.0
"""Seconds of a start for which it deletes; what is left is the next one's."""
TIMEOUT_S = 10.0
AGAIN_S = 0.1
DATABASES = "prefect-*.db"


def forget_old_runs(api_url: str, now: datetime) -> int:
    """Delete the oldest flow runs with all that belongs to them; gives their number. A failure is left to the next start."""
    api, forgotten = _Api(api_url, until_s=time.monotonic() + MOST_S), 0
    # The run needs none of it, so nothing about its history may stop it.
    with suppress(OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        for run_id in api.list_old_runs(now - KEPT):
            api.delete_run(run_id)
            forgotten += 1
    return forgotten


def remove_old_databases(folder: Path, current: Path, now: datetime) -> None:
    """Remove databases of other versions of Prefect that nobody has written to for so long."""
    oldest_s = (now - KEPT).timestamp()
    for database in folder.glob(DATABASES):
        files = [path for path in list_sqlite_files(database) if path.exists()]
        if database != current and all(path.stat().st_mtime < oldest_s for path in files):
            for path in files:
                path.unlink(missing_ok=True)


class _Api:
    """The few calls of Prefect's API that this needs, to a server of this machine, past any proxy."""

    def __init__(self, url: str, *, until_s: float) -> None:
        self._url = urlsplit(url)
        self._until_s = until_s

    def list_old_runs(self, before: datetime) -> list[str]:
        """The oldest runs, also those that a kill has left running: their expected start is known in every state."""
        wanted = {"expected_start_time": {"before_": before.isoformat()}}
        query = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC", "limit": MOST_RUNS}
        return [str(run["id"]) for run in self._call("POST", "/flow_runs/filter", query)]

    def delete_run(self, run_id: str) -> None:
        """Delete a run; its artifacts first, because Prefect deletes its task runs and logs with it, but not these."""
        query = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        for artifact in self._call("POST", "/artifacts/filter", query):
            self._call("DELETE", f"/artifacts/{artifact['id']}")
        self._call("DELETE", f"/flow_runs/{run_id}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Send a call, and again while the server is busy with its own housekeeping.

        Raises:
            TimeoutError: The time of this start is over.
            ValueError: The server refuses it.
        """
        content = None if body is None else json.dumps(body)
        while time.monotonic() < self._until_s:
            status, text = self._send(method, path, content)
            if status < http.client.BAD_REQUEST:
                found = json.loads(text) if text else []
                return found if isinstance(found, list) else []
            # Two writers of one SQLite file: the later one is told to come again.
            if status != http.client.SERVICE_UNAVAILABLE:
                raise ValueError(f"{method} {path}: {status}")
            time.sleep(AGAIN_S)
        raise TimeoutError

    def _send(self, method: str, path: str, content: str | None) -> tuple[int, bytes]:
        # A connection for each call: the server closes one that it was busy on.
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)
        with closing(connection):
            connection.request(method, f"{self._url.path}{path}", content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
