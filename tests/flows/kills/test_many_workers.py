"""One batch over worker processes of Dask and of Ray, one of which is killed: the simulator's account is the judge."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.simulator import Service, start_simulator
from tasks.backends.replicate_simulator.settings import Settings
from tasks.ledger.database.location import read_pointer
from tasks.store.output import parse_output
from tests.flows.conftest import Cli
from tests.support.services.object_storage import BUCKET, ObjectStorage
from tests.support.services.postgresql import PASSWORD, Postgresql
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.server, pytest.mark.soak]

JOBS = int(os.environ.get("IMAGEN_MANY_JOBS", "120"))
"""A short form runs with the other tests; `make many` runs the long one."""
SPEED = 1 if JOBS >= 1_000 else 4
"""Simulated seconds in a real one: in the short form the account's 600 creates a minute are 40 a second."""
CREATES_PER_MIN, READS_PER_MIN = 600.0, 3_000.0
BURST = 60
"""Of creates; Replicate has 600, and a smaller one forgives less. What a busy machine holds up for seconds it forgives."""
WORKERS = {"dask": 3, "ray": 2}
LEASE_S = 20
"""On a busy machine workers without CPU lose shorter ones, jobs are looked up by turns, and the batch hardly gets on."""
MOST_S = PATIENCE_S + JOBS


@pytest.fixture
def service() -> Iterator[Service]:
    """Replicate's API with an account's usual limits, in a process of its own."""
    settings = Settings(
        speed=SPEED,
        latency_s=2.0,
        picture_kb=20,
        shrink=16,
        creates_per_min=CREATES_PER_MIN,
        create_burst=BURST,
        reads_per_min=READS_PER_MIN,
    )
    with start_simulator(settings) as running:
        yield running


@pytest.fixture
def shared(cli: Cli, service: Service, postgresql: Postgresql) -> Cli:
    """The command line, set up for the simulator and a ledger on PostgreSQL."""
    instance = {
        "type": "replicate",
        "model": "black-forest-labs/flux-schnell",
        "api_base": service.url,
        "delivery_hosts": ["localhost"],
        "lookup_patience_s": 1.0,
        "concurrency": 64,
        "creates_per_min": CREATES_PER_MIN * SPEED,
        "requests_per_min": READS_PER_MIN * SPEED,
    }
    settings = {
        "ledger": f"postgresql://postgres@127.0.0.1:{postgresql.port}/postgres",
        "runner": {"lease_s": LEASE_S},
        "default_backend": "flux",
        "backends": {"flux": instance},
    }
    (cli.folder / "imagen.yaml").write_text(json.dumps(settings))
    cli.environ |= {"REPLICATE_API_TOKEN": "r8_rehearsal", "PGPASSWORD": PASSWORD}
    return cli


def living_workers(out: str, postgresql: Postgresql) -> set[int]:
    """Process ids of this machine's workers that have predictions in flight, as the ledger knows them."""
    place = read_pointer(parse_output(out).home)
    if place is None:
        return set()
    query = f"SELECT DISTINCT claimed_by FROM {place.schema}.jobs WHERE state = 'submitted'"
    owners = [str(owner) for (owner,) in asyncio.run(postgresql.fetch(query)) if owner]
    return {int(owner.split(":")[1]) for owner in owners if owner.startswith(f"{socket.gethostname()}:")}


def done(out: str, postgresql: Postgresql) -> int:
    """How many jobs have succeeded."""
    place = read_pointer(parse_output(out).home)
    if place is None:
        return 0
    query = f"SELECT count(*) FROM {place.schema}.jobs WHERE state = 'succeeded'"
    return int(asyncio.run(postgresql.fetch(query))[0][0])


def wait_until_done(process: subprocess.Popen[str], out: str, postgresql: Postgresql, number: int) -> None:
    """Wait until so many jobs have succeeded, or the run has ended."""
    ends = time.monotonic() + MOST_S
    while done(out, postgresql) < number and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.1)


def signal_one_worker(
    process: subprocess.Popen[str], out: str, postgresql: Postgresql, *, after: int, number: int = signal.SIGKILL
) -> int:
    """A signal for a worker that has predictions in flight, once so many jobs are done; gives its id."""
    ends = time.monotonic() + MOST_S
    while time.monotonic() < ends and process.poll() is None:
        if done(out, postgresql) >= after and len(workers := living_workers(out, postgresql)) > 1:
            os.kill(victim := workers.pop(), number)
            return victim
        time.sleep(0.1)
    process.kill()
    return pytest.fail(f"there was no worker to kill: {process.communicate()}")


def read_result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the run printed with --json, when it ended well."""
    out, err = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, out + err
    assert "Traceback" not in out + err
    result: dict[str, Any] = json.loads(out)
    return result


@dataclass(frozen=True)
class Place:
    """Where a batch goes, and how a test looks into it."""

    out: str
    files: Callable[[], dict[str, Path]]
    """Every file there by its name, as it lies on this machine's disk."""


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Place:
    """A folder; or a bucket of a real server of S3's protocol."""
    if request.param == "folder":
        out = tmp_path / "out"
        return Place(str(out), lambda: {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()})
    storage: ObjectStorage = request.getfixturevalue("rclone")
    return Place(f"s3://{BUCKET}/{prefix}", lambda: storage.files(prefix))


@pytest.mark.parametrize(
    ("runner", "jobs", "place"), [("dask", JOBS, "bucket"), ("ray", JOBS, "folder")], indirect=["place"]
)
def test_a_killed_worker_costs_nothing(
    shared: Cli, service: Service, postgresql: Postgresql, *, runner: str, jobs: int, place: Place
) -> None:
    """Every row has its picture, nothing is billed twice, and all workers together keep to the account's rate."""
    out = place.out
    options = ["--runner", runner, "--workers", str(WORKERS[runner]), "--budget", "100", "--json"]
    process = shared.start("run", shared.manifest(jobs), "--out", out, *options)
    signal_one_worker(process, out, postgresql, after=jobs // 4)
    status, truth = read_result(process), service.truth()
    sys.stderr.write(f"{runner}, {WORKERS[runner]} workers, one killed: {figures(truth)}\n")
    assert (status["succeeded"], status["generated"], status["failed"], status["held"]) == (jobs, jobs, 0, 0)
    assert (truth["billed"], truth["duplicates_billed"], truth["token_leaks"]) == (jobs, 0, 0)
    assert status["cost_usd"] == pytest.approx(truth["cost_usd"])
    files = place.files()
    images = {name for name in files if name.startswith("images/")}
    table = pq.read_table(files["metadata.parquet"]).to_pylist()
    assert {row["file_name"] for row in table} == images
    assert len(images) == jobs
    # Workers that kept the limit each for itself would have most of their creates refused.
    assert truth["throttled"].get("create", 0) <= 0.15 * jobs


def test_a_worker_that_stands_still_for_longer_than_its_lease_costs_nothing(
    shared: Cli, service: Service, postgresql: Postgresql
) -> None:
    """Another one has its jobs meanwhile; whether it goes on or Dask has ended it, it changes nothing and pays for none."""
    out = str(shared.folder / "out")
    options = ("--runner", "dask", "--workers", "2", "--budget", "100", "--json")
    # Its own shard waits until Dask gives it to the other worker: five minutes, if nobody says otherwise.
    shared.environ["DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL"] = "30s"
    process = shared.start("run", shared.manifest(JOBS), "--out", out, *options)
    victim = signal_one_worker(process, out, postgresql, after=JOBS // 10, number=signal.SIGSTOP)
    try:
        eventually(lambda: process.poll() is not None or victim not in living_workers(out, postgresql))
    finally:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)
    status, truth = read_result(process), service.truth()
    assert (status["succeeded"], status["generated"], status["failed"], status["held"]) == (JOBS, JOBS, 0, 0)
    assert (truth["billed"], truth["duplicates_billed"]) == (JOBS, 0)
    assert status["cost_usd"] == pytest.approx(truth["cost_usd"])


def test_ctrl_c_in_a_terminal_drains_the_workers(cli: Cli, postgresql: Postgresql) -> None:
    """Every process gets the signal: what is in flight lands, and one process goes on from there at once."""
    backend = {"type": "sketch", "latency_s": 1.0, "concurrency": 4}
    ledger = f"postgresql://postgres@127.0.0.1:{postgresql.port}/postgres"
    (cli.folder / "imagen.yaml").write_text(json.dumps({"ledger": ledger, "backends": {"sketch": backend}}))
    cli.environ["PGPASSWORD"] = PASSWORD
    out, options = str(cli.folder / "out"), ("--runner", "dask", "--workers", "2", "--quiet")
    process = cli.start("run", cli.manifest(24), "--out", out, *options, session=True)
    wait_until_done(process, out, postgresql, 1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=MOST_S)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    status = cli.json("status", out)
    assert (status["outcome"], status["submitted"], status["failed"]) == ("interrupted", 0, 0)
    assert 0 < status["succeeded"] < 24
    assert cli.json("resume", out, "--runner", "local")["succeeded"] == 24


def figures(truth: dict[str, Any]) -> str:
    """The account in one line for people."""
    instants = truth["created_at_s"]
    took_s = max(instants) - min(instants)
    used = 100 * (truth["created"] - 1) / took_s * 60 / CREATES_PER_MIN
    return (
        f"{truth['created']} created in {took_s:.0f} simulated s ({took_s / SPEED:.0f} s), {used:.1f} % of "
        f"{CREATES_PER_MIN:.0f} a minute, {busiest_minute(instants)} in the busiest minute, {truth['throttled'].get('create', 0)} creates refused, {truth['billed']} billed, "
        f"{truth['duplicates_billed']} billed twice, {truth['requests_total'] / truth['created']:.1f} requests a picture"
    )


def busiest_minute(instants: list[float]) -> int:
    """Creates in the simulated minute that had most."""
    ordered = sorted(instants)
    return max(number - bisect_left(ordered, at_s - 60) + 1 for number, at_s in enumerate(ordered))
