"""Every night: schedules that fire, runs that are cancelled, nights that come back; on a real server, in real processes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.conftest import Cli
from tests.support.services.prefect_service import ROOT, PrefectService, prefect
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.server, pytest.mark.soak]

OFTEN = "* * * * *"
"""Every minute."""
ROWS = 24
NIGHT = "/deployments/name/generate-batch/nightly"
BLOCK = "00000000-0000-0000-0000-000000000000"
AUTOMATIONS = sorted((ROOT / "automations").glob("*.yaml"))


@pytest.fixture
def nightly(tmp_path: Path, prefect_service: PrefectService) -> Cli:
    """The command line with a server that schedules."""
    return Cli(tmp_path, prefect_service.environ)


@contextmanager
def going_on(process: subprocess.Popen[str], *, patience_s: float = PATIENCE_S) -> Iterator[subprocess.Popen[str]]:
    """A process that is told to end, and made to where it does not: Prefect's worker has been seen to hang there."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()  # not for its pipes: a run that outlives it holds them open
            for stream in filter(None, (process.stdout, process.stderr)):
                stream.close()


def is_up(process: subprocess.Popen[str], said: str) -> None:
    """Wait until the process has said something on standard error."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if said in line:
            return
    raise AssertionError("".join(lines))


def make_packages(folder: Path) -> None:
    """Give a folder packages of the names of ours."""
    for name in ("flows", "tasks"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("")


def pictures(out: Path) -> int:
    """How many are there already."""
    return len(list(out.glob("images/*/*.*")))


def first_completed(service: PrefectService, deployment: str) -> dict[str, Any] | None:
    """The first run of a schedule that came to its end."""
    found: list[dict[str, Any]] = service.ask(
        "POST",
        "/flow_runs/filter",
        deployments={"name": {"any_": [deployment]}},
        flow_runs={"state": {"name": {"any_": ["Completed"]}}},
        sort="EXPECTED_START_TIME_ASC",
        limit=1,
    )
    return found[0] if found else None


def test_a_schedule_fires_and_outlives_the_process_that_serves_it(
    nightly: Cli, prefect_service: PrefectService
) -> None:
    """The night's images are in the folder of its day; ended, the schedule is neither paused nor gone.

    The working folder has packages `flows` and `tasks` of its own, as most repositories with Prefect flows do.
    """
    nightly.manifest(3)
    make_packages(nightly.folder)
    serving = nightly.start_installed("serve", "m.jsonl", "--cron", OFTEN, "--name", "soon", "--budget", "1")
    with going_on(serving) as serve:
        is_up(serve, "The schedules stay")
        run = eventually(lambda: first_completed(prefect_service, "soon"))
    assert (run["state_name"], run["auto_scheduled"]) == ("Completed", True), run["state"]
    day = datetime.fromisoformat(run["expected_start_time"]).astimezone(UTC).date().isoformat()
    assert run["name"] == f"soon {day}"
    assert pictures(nightly.folder / "runs/soon" / day) == 3
    deployment = prefect_service.ask("GET", "/deployments/name/generate-batch/soon")
    assert (deployment["paused"], [each["active"] for each in deployment["schedules"]]) == (False, [True])
    summary = json.loads((nightly.folder / "runs/soon" / day / "summary.json").read_text())
    assert summary["outcome"] == "completed"


def test_cancelled_or_told_to_end_a_run_drains(nightly: Cli, prefect_service: PrefectService) -> None:
    """Cancelled by Prefect's API, or SIGTERM to `imagen serve`: what is in flight lands, the batch goes on by its id.

    The two are told apart: what was cancelled is resumed by people only.
    """
    nightly.config(latency_s=2, concurrency=2)  # Prefect may take ten seconds to pass the wish on
    nightly.manifest(ROWS)
    with going_on(nightly.start("serve", "m.jsonl", "--cron", "0 2 * * *", "--name", "cut")) as serve:
        is_up(serve, "The schedules stay")
        cancelled = busy_run(nightly, prefect_service, "cut")
        prefect_service.ask("POST", f"/flow_runs/{cancelled}/set_state", state={"type": "CANCELLING"})
        cut = drained(nightly, prefect_service, cancelled, "cut", ("Cancelled", "cancelled"))
        ended = busy_run(nightly, prefect_service, "end")
    assert serve.returncode == 0
    drained(nightly, prefect_service, ended, "end", ("Cancelled", "interrupted"))
    assert "out/cut" not in go_on(nightly, "out", interrupted=True)
    assert (nightly.json("status", "out/cut")["images"], nightly.json("status", "out/end")["images"]) == (cut, ROWS)
    resumed = nightly.json("resume", "--flow-run", cancelled, "--concurrency", str(ROWS))
    assert resumed["images"] == ROWS
    missing = nightly.run("resume", "--flow-run", "11111111-1111-1111-1111-111111111111")
    assert (missing.returncode, "knows no flow run" in missing.stderr) == (2, True)


def busy_run(cli: Cli, service: PrefectService, out: str) -> str:
    """Start a run and wait until it has its first pictures."""
    run = service.start("generate-batch/cut", out=f"out/{out}", salt=out)
    eventually(lambda: pictures(cli.folder / "out" / out) >= 2)
    return run


def drained(cli: Cli, service: PrefectService, run: str, out: str, names: tuple[str, str]) -> int:
    """It ended early with this state and outcome, and nothing is in flight; gives its images."""
    state = service.ended(run)["state_name"]
    record = cli.json("status", f"out/{out}")
    assert (state, record["outcome"], record["submitting"], record["submitted"]) == (*names, 0, 0)
    assert 0 < record["images"] < ROWS
    return int(record["images"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a checkout has of ours, as a user edits it."""
    for name in ("flows", "tasks", "manifests"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "prefect.yaml", tmp_path)
    return tmp_path


def test_deployments_run_on_a_process_worker(checkout: Path, prefect_service: PrefectService) -> None:
    """From prefect.yaml to files: `nightly` runs, and `resume-failed` leaves a living night alone."""
    prefect(prefect_service, checkout, "work-pool", "create", "imagen", "--type", "process")
    for name in ("nightly", "resume-failed"):
        done = prefect(prefect_service, checkout, "--no-prompt", "deploy", "-n", name)
        assert "successfully created" in done.stdout, done.stdout + done.stderr
    worker = Cli(checkout, prefect_service.environ)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "imagen", "--type", "process"]
    with going_on(worker.start_program(*command), patience_s=5):
        runs = [prefect_service.start("generate-batch/nightly", limit=3)]
        runs.append(prefect_service.start("resume-failed/resume-failed"))
        night, resumed = map(prefect_service.ended, runs)
    assert night["state_name"] == "Completed", night["state"]
    assert [pictures(out) for out in (checkout / "runs/nightly").iterdir()] == [3]
    assert (resumed["state_name"], resumed["state"]["message"]) == ("Completed", "no batch to resume")


def test_all_deployments_are_accepted(checkout: Path, prefect_service: PrefectService) -> None:
    """`prefect --no-prompt deploy --all` makes the four of prefect.yaml."""
    prefect(prefect_service, checkout, "work-pool", "create", "imagen", "--type", "process")
    done = prefect(prefect_service, checkout, "--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = {each["name"]: each for each in yaml.safe_load((checkout / "prefect.yaml").read_text())["deployments"]}
    assert set(wanted) == {"generate", "nightly", "resume-failed", "push-usage"}
    night = prefect_service.ask("GET", "/deployments/name/generate-batch/nightly")
    assert [each["schedule"]["cron"] for each in night["schedules"]] == ["0 2 * * *"]
    assert night["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert [each["active"] for each in night["schedules"]] == [True]


def test_what_was_paused_starts_nothing_when_it_is_deployed_again(
    checkout: Path, prefect_service: PrefectService
) -> None:
    """A schedule that is switched off stays off beside one that is on, and so does a whole deployment."""
    prefect(prefect_service, checkout, "work-pool", "create", "imagen", "--type", "process")
    assert read_switches(prefect_service, checkout) == {"nightly": True}
    night = prefect_service.ask("GET", NIGHT)
    text = (checkout / "prefect.yaml").read_text()
    noon = (
        '      - {slug: noon, cron: "0 12 * * *", active: "{{ active.nightly.noon }}"}\n    concurrency_limit: *queued'
    )
    text = text.replace("[nightly]\n", "[nightly, noon]\n", 1).replace("    concurrency_limit: *queued", noon, 1)
    (checkout / "prefect.yaml").write_text(text)
    assert read_switches(prefect_service, checkout) == {"nightly": True, "noon": True}
    [off] = [each for each in prefect_service.ask("GET", NIGHT)["schedules"] if each["slug"] == "noon"]
    prefect_service.ask("PATCH", f"/deployments/{night['id']}/schedules/{off['id']}", active=False)
    assert read_switches(prefect_service, checkout) == {"nightly": True, "noon": False}
    prefect_service.ask("POST", f"/deployments/{night['id']}/pause_deployment")
    assert read_switches(prefect_service, checkout) == {"nightly": False, "noon": False}


def read_switches(service: PrefectService, checkout: Path) -> dict[str, bool]:
    """Deploy again; gives which schedules are active then."""
    again = prefect(service, checkout, "--no-prompt", "deploy", "-n", "nightly")
    assert again.returncode == 0, again.stdout + again.stderr
    return {each["slug"]: each["active"] for each in service.ask("GET", NIGHT)["schedules"]}


@pytest.mark.parametrize("path", AUTOMATIONS, ids=lambda path: path.stem)
def test_automations_are_accepted(path: Path, tmp_path: Path, prefect_service: PrefectService) -> None:
    """Each file as it is, with the id of a notification block put in where one is needed."""
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace(BLOCK, "5eabad06-2edb-4bbd-a7ed-920d23dc484b"))
    done = prefect(prefect_service, tmp_path, "automation", "create", "--from-file", str(copy))
    assert done.returncode == 0, done.stdout + done.stderr
    names = {each["name"] for each in prefect_service.ask("POST", "/automations/filter", limit=50)}
    assert {each["name"] for each in yaml.safe_load(path.read_text())["automations"]} <= names


def test_a_killed_night_is_gone_on_with_once_and_within_its_budget(
    nightly: Cli, prefect_service: PrefectService
) -> None:
    """After a SIGKILL it comes to its end, and nothing is left to do; not where somebody cancelled it in Prefect."""
    nightly.config(latency_s=0.5, concurrency=2, price_usd=0.01)
    out = nightly.folder / "runs/night"
    night = nightly.start("run", nightly.manifest(20), "--out", out, "--budget", "0.2")
    eventually(lambda: pictures(out) >= 2)
    night.send_signal(signal.SIGKILL)
    night.communicate()
    assert nightly.json("status", out)["outcome"] == "killed"
    [run] = prefect_service.ask("POST", "/flow_runs/filter", flow_runs={"name": {"like_": str(out)}})
    set_state = f"/flow_runs/{run['id']}/set_state"
    prefect_service.ask("POST", set_state, state={"type": "CANCELLED"}, force=True)
    assert "left alone: cancelled in Prefect" in go_on(nightly)
    prefect_service.ask("POST", set_state, state={"type": "CRASHED"}, force=True)
    assert go_on(nightly).startswith("Completed: runs/night: Completed: 20 of 20 images")
    record = nightly.json("status", out)
    assert (record["images"], record["cost_usd"], record["outcome"]) == (20, 0.2, "completed")
    assert go_on(nightly).startswith("Completed: no batch to resume")


def go_on(cli: Cli, folder: str = "runs", *, interrupted: bool = False) -> str:
    """Run the flow `resume-failed` on a folder, in a process of its own; gives its state."""
    code = (
        "from flows.resume_failed import resume_failed; import asyncio\n"
        f"state = asyncio.run(resume_failed({folder!r}, interrupted={interrupted}, return_state=True))\n"
        "print(f'{state.name}: {state.message}')"
    )
    process = cli.start_program(sys.executable, "-c", code)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out


def test_runs_share_prefects_limit_of_a_backend_where_there_is_one(
    nightly: Cli, prefect_service: PrefectService
) -> None:
    """The second run waits for the slot, and Ctrl-C ends its wait; the first gives the slot back."""
    backends = {"shared": {"type": "sketch", "latency_s": 0.5, "concurrency": 2}}
    (nightly.folder / "imagen.yaml").write_text(yaml.safe_dump({"default_backend": "shared", "backends": backends}))
    limit = prefect_service.ask("POST", "/v2/concurrency_limits/", name="imagen-shared", limit=1)
    nightly.manifest(300)
    first = nightly.start("run", "m.jsonl", "--out", "first")
    eventually(lambda: pictures(nightly.folder / "first") >= 2)
    second = nightly.start("run", "m.jsonl", "--out", "second")
    is_up(second, "waiting for imagen-shared")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=PATIENCE_S)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=PATIENCE_S)
    assert (first.returncode, second.returncode) == (130, 130)
    assert pictures(nightly.folder / "first") >= 2
    assert pictures(nightly.folder / "second") == 0
    assert prefect_service.ask("GET", f"/v2/concurrency_limits/{limit['id']}")["active_slots"] == 0
