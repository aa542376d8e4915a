"""A real Prefect server with its scheduler, as `prefect server start` runs it, and what is asked of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.services.asking import CLIENT, answers
from tests.support.services.processes import free_port
from tests.support.waiting import PATIENCE_S, eventually

ROOT = Path(__file__).parents[3]
QUICK = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_WORKER_PREFETCH_SECONDS": "1",
}
"""The loops of Prefect, shortened; a process is started the moment its run is due."""


@dataclass(frozen=True)
class PrefectService:
    """A server with a scheduler."""

    api_url: str
    environ: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """One call of Prefect's API."""

        def answered() -> httpx.Response | None:
            got = CLIENT.request(method, f"{self.api_url}{path}", json=body or None)
            # Its database is a SQLite file, which may be busy.
            return None if got.status_code == httpx.codes.SERVICE_UNAVAILABLE else got

        answer: httpx.Response = eventually(answered)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def run(self, flow_run: str) -> dict[str, Any]:
        """A flow run as the server has it."""
        found: dict[str, Any] = self.ask("GET", f"/flow_runs/{flow_run}")
        return found

    def start(self, deployment: str, **parameters: Any) -> str:
        """Have a deployment run now; gives the flow run's id."""
        found = self.ask("GET", f"/deployments/name/{deployment}")
        return str(self.ask("POST", f"/deployments/{found['id']}/create_flow_run", parameters=parameters)["id"])

    def ended(self, flow_run: str) -> dict[str, Any]:
        """The flow run once its state is final."""

        def final() -> dict[str, Any] | None:
            run = self.run(flow_run)
            return run if run["state_type"] in {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"} else None

        found: dict[str, Any] = eventually(final)
        return found


def prefect(service: PrefectService, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Prefect's own command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=folder,
        env={**os.environ, **service.environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture(scope="session")
def prefect_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectService]:
    """A server of the session's own, started by Prefect's own command: schedules need nothing of ours."""
    port, home = free_port(), tmp_path_factory.mktemp("prefect-service")
    url = f"http://127.0.0.1:{port}/api"
    environ = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        **QUICK,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env={**inherited, **environ},
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: _healthy(url) or server.poll() is not None)
        assert server.poll() is None, (home / "server.log").read_text()
        yield PrefectService(url, environ)
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def _healthy(url: str) -> bool:
    answer = answers(f"{url}/health")
    return answer is not None and answer.is_success
