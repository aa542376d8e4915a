"""Operators' decisions hold: what they pause stays paused, and after a downtime the newest run goes first."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.flows.conftest import Cli
from tests.flows.served.test_nightly import going_on, is_up, make_packages, pictures
from tests.support.services.asking import CLIENT
from tests.support.services.prefect_service import PrefectService
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.server

SUBFLOW = """
from prefect import flow
from prefect.deployments import run_deployment

@flow
def publish() -> str:
    run = run_deployment("generate-batch/held", parameters={"out": "published", "limit": 2}, poll_interval=1)
    return run.state.name

print(publish())
"""
"""A flow of a user's own repository, as docs/nightly.md shows it."""
NIGHT, RESUMER = "/deployments/name/generate-batch/held", "/deployments/name/resume-failed/held"


@pytest.mark.soak
def test_pauses_outlive_the_process_and_the_newest_late_run_goes_first(
    tmp_path: Path, prefect_service: PrefectService
) -> None:
    """A paused deployment and a schedule that is switched off stay so when `imagen serve` starts again.

    A new name does not start it again, and the old one is named.
    A flow of a repository with packages of the names of ours runs the deployment as its subflow.
    Of the runs that nobody took meanwhile, the newest is run first; the others keep their days.
    """
    cli = Cli(tmp_path, prefect_service.environ)
    cli.manifest(2)
    make_packages(cli.folder)
    (cli.folder / "flows/publish.py").write_text(SUBFLOW)
    serve = ("serve", "m.jsonl", "--cron", "0 2 * * *", "--name", "held", "--out", "night/{date}")
    with going_on(cli.start_installed(*serve)) as first:
        is_up(first, "next: ")
        publish = cli.start_program(sys.executable, "-m", "flows.publish")
        assert publish.communicate(timeout=PATIENCE_S)[0].strip().endswith("Completed")
        assert pictures(cli.folder / "published") == 2
    night, resumer = prefect_service.ask("GET", NIGHT), prefect_service.ask("GET", RESUMER)
    assert night["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    prefect_service.ask("POST", f"/deployments/{night['id']}/pause_deployment")
    [schedule] = resumer["schedules"]
    prefect_service.ask("PATCH", f"/deployments/{resumer['id']}/schedules/{schedule['id']}", active=False)
    days = [datetime.now(UTC) - timedelta(days=number) for number in (3, 2, 1)]
    late = [be_late(prefect_service, night["id"], day) for day in days]
    renamed = (*serve[:4], "--name", "renamed", *serve[6:])
    with going_on(cli.start_installed(*renamed)) as other:
        is_up(other, "generate-batch/held writes into")
        is_up(other, "paused, and stays so")
    with going_on(cli.start_installed(*serve)) as second:
        is_up(second, "paused, and stays so")
        assert prefect_service.ended(late[-1])["state_name"] == "Completed"
        others = [prefect_service.run(run) for run in late[:-1]]
    assert [run["state_type"] for run in others] == ["SCHEDULED", "SCHEDULED"]
    assert [run["expected_start_time"][:10] for run in others] == [day.date().isoformat() for day in days[:-1]]
    assert pictures(cli.folder / "night" / days[-1].date().isoformat()) == 2
    assert prefect_service.ask("GET", NIGHT)["paused"] is True
    assert [each["active"] for each in prefect_service.ask("GET", RESUMER)["schedules"]] == [False]


def be_late(service: PrefectService, deployment: str, day: datetime) -> str:
    """A run of the deployment that was due on a day when nothing ran; gives its id."""
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": day.isoformat()}}
    return str(service.ask("POST", f"/deployments/{deployment}/create_flow_run", state=state)["id"])


@pytest.mark.soak  # a server with a scheduler and a served deployment; test_parameters.py holds our half without them
def test_an_unknown_parameter_is_refused_by_its_name(tmp_path: Path, prefect_service: PrefectService) -> None:
    """The form and the API refuse it; where they do not check, the run ends Failed with one line, and not Crashed."""
    cli = Cli(tmp_path, prefect_service.environ)
    cli.manifest(1)
    with going_on(cli.start_installed("serve", "m.jsonl", "--cron", "0 2 * * *", "--name", "strict")) as served:
        is_up(served, "next: ")
        night = prefect_service.ask("GET", NIGHT.replace("held", "strict"))
        path = f"/deployments/{night['id']}/create_flow_run"
        given = {"parameters": {**night["parameters"], "colour": "red"}}
        refused = CLIENT.post(prefect_service.api_url + path, json=given)
        assert (refused.status_code, "'colour' was unexpected" in refused.json()["detail"]) == (409, True)
        made = prefect_service.ask("POST", path, **given, enforce_parameter_schema=False)
        # Prefect's own word for it comes first.
        state = eventually(lambda: (found := prefect_service.run(made["id"])["state"])["type"] == "FAILED" and found)
    assert state["message"].startswith("the parameters of this run cannot be used: ")
    assert "colour" in state["message"]
