"""A week of nights in two minutes: what operators and machines do to them, and what was made and paid in the end.

Prefect's scheduler is asked for the nights of days that are over, so no clock is turned and nothing is waited for.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.flows.backends.test_replicate import TOKEN, configure
from tests.flows.conftest import Cli, interrupt
from tests.flows.served.test_nightly import going_on, is_up, pictures
from tests.support.services.asking import read_truth
from tests.support.services.prefect_service import PrefectService
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.server, pytest.mark.soak]

ROWS, BUDGET_USD, PRICE_USD = 8, 0.05, 0.003
SLOW = "slow"
"""File beside the simulator: while it is there, images take so long that a slow machine has the time to cancel or kill a run among them."""
SLOWED = f"""
from pathlib import Path
from tasks.backends.replicate_simulator.settings import Settings
Settings.latency_s = property(lambda _: 4.0 if Path({SLOW!r}).exists() else 0.5, lambda *_: None)
"""
"""Code for `Cli.before` of the simulator."""
NIGHT, RESUMER = "generate-batch/week", "resume-failed/week"
FIRST_DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=9)


class Week:
    """Nights of one schedule on a real server, with a rehearsal of the paid service."""

    def __init__(self, cli: Cli, service: PrefectService, address: str) -> None:
        """Set up the folder; `address` is the simulator's."""
        self.cli = cli
        self.service = service
        self._address = address
        configure(cli, api_base=address, delivery_hosts=["localhost"], concurrency=2)
        cli.manifest(ROWS)

    @contextmanager
    def served(self, said: str = "next: ") -> Iterator[subprocess.Popen[str]]:
        """`imagen serve` from its start to its SIGTERM."""
        options = ("--cron", "0 2 * * *", "--name", "week", "--out", "week/{date}", "--budget", str(BUDGET_USD))
        with going_on(self.cli.start_installed("serve", "m.jsonl", *options)) as process:
            is_up(process, said)
            yield process

    def schedule(self, day: int) -> str:
        """Have Prefect's scheduler make the run of a day."""
        begin = FIRST_DAY + timedelta(days=day)
        found = self.service.ask("GET", f"/deployments/name/{NIGHT}")
        window = {"start_time": begin.isoformat(), "end_time": (begin + timedelta(days=1)).isoformat()}
        self.service.ask("POST", f"/deployments/{found['id']}/schedule", **window, min_time=0, max_runs=1, min_runs=1)
        runs = self.service.ask(
            "POST",
            "/flow_runs/filter",
            deployments={"id": {"any_": [found["id"]]}},
            flow_runs={"expected_start_time": {"after_": window["start_time"], "before_": window["end_time"]}},
        )
        return str(runs[0]["id"])

    def find_scheduled(self) -> list[str]:
        """The runs that wait for their time, as the page of the deployment shows them."""
        runs = self.service.ask(
            "POST",
            "/flow_runs/filter",
            deployments={"name": {"any_": ["week"]}},
            flows={"name": {"any_": ["generate-batch"]}},
            flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}},
        )
        return [str(run["id"]) for run in runs]

    def folder(self, day: int) -> Path:
        """The output of a day."""
        return self.cli.folder / "week" / (FIRST_DAY + timedelta(days=day)).date().isoformat()

    def busy(self, day: int) -> str:
        """Start a day's run and wait for its first images."""
        run = self.schedule(day)
        eventually(lambda: pictures(self.folder(day)) >= 2)
        return run

    @contextmanager
    def slowed(self) -> Iterator[None]:
        """A service that takes seconds for an image."""
        (self.cli.folder / SLOW).touch()
        yield
        (self.cli.folder / SLOW).unlink()

    def resume(self) -> str:
        """Run `resume-failed` now; gives its message."""

        def finish() -> str | None:
            ended = self.service.ended(self.service.start(RESUMER))
            # Its own schedule begins one at each quarter of an hour, and two never run together.
            return None if ended["state_type"] == "CANCELLED" else str(ended["state"]["message"])

        return str(eventually(finish))

    def truth(self) -> dict[str, Any]:
        """The simulator's account of what it made and billed."""
        return read_truth(self._address)


@pytest.fixture
def week(tmp_path: Path, prefect_service: PrefectService) -> Iterator[Week]:
    """An empty week."""
    cli = Cli(tmp_path, {**prefect_service.environ, **TOKEN}, before=SLOWED)
    simulator = cli.start("simulate", "--port", "0")
    cli.before = ""
    assert simulator.stdout is not None
    line = next(line for line in simulator.stdout if "http://127.0.0.1" in line)
    try:
        yield Week(cli, prefect_service, next(word for word in line.split() if word.startswith("http")))
    finally:
        interrupt(simulator)
        simulator.communicate(timeout=PATIENCE_S)


def kill_flow(serving: subprocess.Popen[str]) -> None:
    """Kill with SIGKILL every process that `imagen serve` has started."""
    for process in psutil.Process(serving.pid).children(recursive=True):
        process.send_signal(signal.SIGKILL)


def test_a_week_of_nights_pays_once_for_each_image(week: Week) -> None:
    """A night that runs, one that is cancelled, one that is killed, two that meet, a pause over a restart, a downtime.

    Every night that nobody cancelled has its images, and no image was paid for twice.
    """
    service = week.service
    states: dict[int, str] = {}
    with week.served() as serving:
        states[0] = service.ended(week.schedule(0))["state_name"]
        with week.slowed():
            cancelled = week.busy(1)
            service.ask("POST", f"/flow_runs/{cancelled}/set_state", state={"type": "CANCELLING"})
            states[1] = service.ended(cancelled)["state_name"]
            killed = week.busy(2)
            kill_flow(serving)
            states[2] = service.ended(killed)["state_name"]
        assert "Completed" in week.resume()
        first, second = week.busy(3), week.schedule(4)
        states[3], states[4] = (service.ended(run)["state_name"] for run in (first, second))
        deployment = service.ask("GET", f"/deployments/name/{NIGHT}")["id"]
        service.ask("POST", f"/deployments/{deployment}/pause_deployment")
    with week.served("paused, and stays so"):
        assert week.find_scheduled() == []
        service.ask("POST", f"/deployments/{deployment}/resume_deployment")
    older, newest = week.schedule(6), week.schedule(7)
    with week.served():
        states[7] = service.ended(newest)["state_name"]
        assert service.run(older)["state_type"] == "SCHEDULED"
        states[6] = service.ended(older)["state_name"]
        assert week.resume() == "no batch to resume"
    assert states == {0: "Completed", 1: "Cancelled", 2: "Crashed", **dict.fromkeys((3, 4, 6, 7), "Completed")}
    tell(week, states)
    nights = [day for day in states if day != 1]
    assert [pictures(week.folder(day)) for day in nights] == [ROWS] * len(nights)
    assert 2 <= pictures(week.folder(1)) < ROWS
    assert not week.folder(5).exists()
    truth = week.truth()
    assert truth["duplicates_billed"] == 0
    costs = [week.cli.json("status", week.folder(day))["cost_usd"] for day in states]
    assert max(costs) <= BUDGET_USD
    assert sum(costs) == pytest.approx(truth["cost_usd"])


def tell(week: Week, states: dict[int, str]) -> None:
    """Print the table of the nights."""
    for day, state in sorted(states.items()):
        record = week.cli.json("status", week.folder(day))
        sys.stdout.write(f"{week.folder(day).name} {state:10} {record['images']} images ${record['cost_usd']:.3f}\n")
    sys.stdout.write(f"{week.truth()}\n")
