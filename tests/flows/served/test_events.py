"""Events of a batch on a real server: seen through its API, and acted on by the automations that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.backends.test_replicate import TOKEN, configure
from tests.flows.conftest import Cli, interrupt
from tests.flows.served.test_nightly import BLOCK, going_on, is_up
from tests.support.services.prefect_service import ROOT, PrefectService, prefect
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.server

ROWS, PAID_FOR = 10, 9
BUDGET = "0.03"
"""Ten images at the price of flux-schnell; nine of them are more than four fifths."""
OURS = ["imagen.batch.budget-80", "imagen.batch.stopped", "imagen.batch.finished"]


def find_events(service: PrefectService, flow_run: str, *names: str) -> dict[str, dict[str, Any]]:
    """The events of a flow run, and those about it, by their names; nothing until all of `names` are there."""
    wanted = {"event": {"name": list(names)}, "any_resource": {"id": [f"prefect.flow-run.{flow_run}"]}}
    got = service.ask("POST", "/events/filter", filter=wanted, limit=50)["events"]
    found = {event["event"]: event for event in got}
    return found if set(names) <= set(found) else {}


def test_events_of_a_run_by_hand_have_its_tag(tmp_path: Path, prefect_service: PrefectService) -> None:
    """Where there is no deployment with tags, an automation matches those of the flow run."""
    cli = Cli(tmp_path, prefect_service.environ)
    cli.manifest(1)
    assert cli.run("run", "m.jsonl", "--out", str(tmp_path / "out")).returncode == 0

    def find_end() -> dict[str, Any] | None:
        got = prefect_service.ask("POST", "/events/filter", filter={"event": {"name": [OURS[-1]]}}, limit=50)["events"]
        return next((event for event in got if str(tmp_path) in event["payload"]["out"]), None)

    related = eventually(find_end)["related"]
    assert [each["prefect.resource.id"] for each in related if each["prefect.resource.role"] == "tag"] == [
        "prefect.tag.imagen"
    ]


@pytest.mark.soak
def test_a_service_without_credit_pauses_the_schedule(tmp_path: Path, prefect_service: PrefectService) -> None:
    """Budget at 80 %, the stop with its reason and the end are events of the flow run; an automation heeds one of them.

    Each names the deployment. The table and the folder of images are assets, and no prompt is in any event.
    """
    cli = Cli(tmp_path, {**prefect_service.environ, **TOKEN})
    (tmp_path / "events.yaml").write_text(
        (ROOT / "automations/events.yaml").read_text().replace(BLOCK, BLOCK[:-1] + "1")
    )
    done = prefect(prefect_service, tmp_path, "automation", "create", "--from-file", "events.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    simulator = cli.start("simulate", "--port", "0", "--latency", "0.1", "--fault", f"insufficient_credit:{PAID_FOR}")
    assert simulator.stdout is not None
    line = next(line for line in simulator.stdout if "http://127.0.0.1" in line)
    configure(
        cli,
        api_base=next(word for word in line.split() if word.startswith("http")),
        concurrency=1,
        delivery_hosts=["localhost"],
    )
    cli.manifest(ROWS)
    serve = ("serve", "m.jsonl", "--cron", "0 2 * * *", "--name", "broke", "--out", "broke", "--budget", BUDGET)
    with going_on(cli.start_installed(*serve)) as serving:
        is_up(serving, "The schedules stay")
        run = prefect_service.start("generate-batch/broke")
        assert prefect_service.ended(run)["state_name"] == "Stopped"
        found = eventually(lambda: find_events(prefect_service, run, *OURS))
        deployment = "/deployments/name/generate-batch/broke"
        eventually(lambda: prefect_service.ask("GET", deployment)["paused"])
    interrupt(simulator)
    simulator.communicate(timeout=PATIENCE_S)
    assert found["imagen.batch.stopped"]["resource"]["imagen.reason"] == "credit"
    assert found["imagen.batch.finished"]["resource"]["imagen.outcome"] == "stopped"
    assert found["imagen.batch.finished"]["payload"]["images"] == PAID_FOR
    about = {each["prefect.resource.role"] for each in found["imagen.batch.stopped"]["related"]}
    assert {"flow", "deployment", "tag"} <= about
    assert "picture" not in str(found)
    assets = find_events(prefect_service, run, "prefect.asset.materialization.succeeded")
    assert assets
