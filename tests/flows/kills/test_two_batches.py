"""Two batches of one manifest at once on one account, killed again and again: four accounts of the money agree."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.flows.backends.test_replicate import configure
from tests.flows.conftest import Cli
from tests.flows.test_run import read_rows
from tests.support.killing import kill_until_done
from tests.support.scripted_batch import ledger
from tests.support.services.asking import read_truth
from tests.support.waiting import PATIENCE_S

pytestmark = [pytest.mark.server, pytest.mark.soak]

KILLS = int(os.environ.get("IMAGEN_TWO_BATCHES_KILLS", "16"))
"""Over both batches."""
JOBS = int(os.environ.get("IMAGEN_TWO_BATCHES_JOBS", "120"))
"""Of each batch; 50000 and no kills make 100,000 creates of both, as fast as the machine can."""
PER_MIN = 600 if KILLS else 60_000
"""Creates that the account allows: at Replicate's 600, 100,000 of them would take three hours."""
FOLDERS = ("one", "two")
LAST_RUN_S = 3_600.0
FAULTS = (
    "drop_before_create",
    "drop_after_create",
    "timeout_504_after_create",
    "unreadable_2xx_after_create",
    "server_error_500",
    "poll_500",
    "poll_odd_status",
    "list_odd_entries",
    "failed_pa",
    "dropped_file",
)
"""At 2 % each; every image can be had in spite of them."""


SERVE = f"""
from tasks.backends.replicate_simulator.faults import build_rule
from tasks.backends.replicate_simulator.server import serve
from tasks.backends.replicate_simulator.settings import Settings

rates = dict(creates_per_min={PER_MIN}, create_burst={PER_MIN}, reads_per_min={5 * PER_MIN}, read_burst={5 * PER_MIN})
rules = [build_rule(name, 0.02) for name in {FAULTS}]
serve(
    Settings(latency_s=0.6, picture_kb=1, shrink=32, **rates),
    [*rules, build_rule("list_lag", 0.3)],
    0,
    ready=lambda simulator: print(simulator.url, flush=True),
)
"""


@pytest.fixture
def simulator(cli: Cli) -> Iterator[str]:
    """A simulator in a process of its own, with the faults; its API's address."""
    process = cli.start_program(sys.executable, "-c", SERVE)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)


def run_killed(cli: Cli, manifest: Path, out: str, kills: int) -> int:
    """Run a batch to its end, killed so many times at random moments before; gives how often it was."""
    dice = random.Random(f"{out} {kills}")
    return kill_until_done(cli, manifest, out, cli.folder / out, dice, most=kills, last_run_s=LAST_RUN_S)


def test_two_batches_on_one_account_agree_with_the_bill(cli: Cli, simulator: str) -> None:
    """Bill, ledgers, usage rows and tables have the same sum; no prediction is in two ledgers, or made for nothing."""
    cli.environ["REPLICATE_API_TOKEN"] = "r8_rehearsal"
    configure(
        cli,
        api_base=simulator,
        delivery_hosts=["localhost"],
        lookup_patience_s=2.0,
        concurrency=4 if KILLS else 64,
        creates_per_min=PER_MIN / len(FOLDERS),
        requests_per_min=5 * PER_MIN / len(FOLDERS),
        max_attempts=6,
    )
    manifest = cli.manifest(JOBS)
    with ThreadPoolExecutor(len(FOLDERS)) as threads:
        runs = [threads.submit(run_killed, cli, manifest, out, KILLS // len(FOLDERS)) for out in FOLDERS]
        kills = sum(run.result() for run in runs)
    account = read_truth(simulator)
    status = [cli.json("status", out) for out in FOLDERS]
    tables = [read_rows(cli.folder / out) for out in FOLDERS]
    usage = cli.json("usage")
    query = "SELECT prediction_id FROM attempts WHERE state = 'succeeded'"
    ids = [row[0] for out in FOLDERS for row in ledger(cli.folder / out, query)]
    sums = {
        "bill": account["cost_usd"],
        "ledger": sum(batch["cost_usd"] for batch in status),
        "tables": sum(row["cost_usd"] for table in tables for row in table),
        "usage": usage["total"]["cost_usd"],
    }
    sys.stderr.write(f"{kills} kills, {account['created']} created, {account['billed']} billed, {sums}\n")
    assert [(batch["succeeded"], batch["held"], batch["failed"]) for batch in status] == [(JOBS, 0, 0)] * 2
    assert (len(ids), len(set(ids)), account["billed"]) == (2 * JOBS,) * 3
    assert {name: round(total * 1e6) for name, total in sums.items()} == dict.fromkeys(sums, 2 * JOBS * 3_000)
    assert account["token_leaks"] == 0
