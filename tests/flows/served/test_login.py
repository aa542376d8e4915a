"""A Prefect server that asks for a login: who has none is told so, and who has one gets images on a schedule."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import Cli
from tests.flows.served.test_nightly import going_on, is_up, pictures
from tests.support.services.asking import answers
from tests.support.services.prefect_service import QUICK, prefect
from tests.support.services.prefect_service import PrefectService as Service
from tests.support.services.processes import free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.server, pytest.mark.soak]

LOGIN, CLIENT_LOGIN = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
SERVE = ("serve", "m.jsonl", "--cron", "0 2 * * *", "--name", "kept", "--out", "out")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Cli]:
    """The command line beside a server of `imagen server` with a login, which the command line has not got yet."""
    port, home = free_port(), tmp_path / "prefect"
    environ = {**QUICK, "PREFECT_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    serving = Cli(tmp_path, {**environ, LOGIN: "ada:secret"})
    command = [sys.executable, "-P", "-c", "from flows.cli import main; main()", "server", "--host", "0.0.0.0"]  # noqa: S104  the login is the point
    url = f"http://127.0.0.1:{port}/api"
    with going_on(serving.start_program(*command, "--port", str(port))):
        eventually(lambda: (answer := answers(f"{url}/health")) is not None and answer.is_success)
        yield Cli(tmp_path, {**environ, "PREFECT_API_URL": url})


@pytest.mark.parametrize("login", [None, "ada:wrong"])
def test_without_the_login_every_command_names_the_setting(guarded: Cli, login: str | None) -> None:
    """In one line, with nothing made."""
    guarded.manifest(2)
    guarded.environ |= {CLIENT_LOGIN: login} if login else {}
    flow_run = ("resume", "--flow-run", "11111111-1111-1111-1111-111111111111")
    for command in (("run", "m.jsonl", "--out", "out"), SERVE, flow_run):
        done = guarded.run(*command)
        last = done.stderr.splitlines()[-1]
        assert (done.returncode, CLIENT_LOGIN in last, "internal error" in done.stderr) == (3, True, False), done.stderr
    assert pictures(guarded.folder / "out") == 0


def test_with_the_login_a_deployment_runs(guarded: Cli) -> None:
    """Its runs inherit the login from the process that serves them."""
    guarded.manifest(2)
    guarded.environ[CLIENT_LOGIN] = "ada:secret"
    with going_on(guarded.start_installed(*SERVE)) as served:
        is_up(served, "The schedules stay")
        service = Service(guarded.environ["PREFECT_API_URL"], {**os.environ, **guarded.environ})
        asked = prefect(service, guarded.folder, "deployment", "run", "generate-batch/kept", "--watch")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert pictures(guarded.folder / "out") == 2
