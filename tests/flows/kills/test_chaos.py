"""SIGKILL at random moments of a paid batch: the simulator's own account says that nothing was billed twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.ledger.database.connect import open_ledger
from tests.flows.backends.test_replicate import configure
from tests.flows.conftest import Cli
from tests.flows.test_run import list_images, read_rows
from tests.support.killing import kill_until_done
from tests.support.money import add_up
from tests.support.services.asking import read_truth
from tests.support.waiting import PATIENCE_S

pytestmark = [pytest.mark.server, pytest.mark.soak]

KILLS = int(os.environ.get("IMAGEN_CHAOS_KILLS", "4"))
"""A short form runs with the other tests; `make chaos` runs the long one."""
JOBS = 300 if KILLS > 10 else 60
FAULTS = ("drop_after_create:0.05", "drop_before_create:0.05", "timeout_504_after_create:0.05", "list_lag:0.3")


@pytest.fixture
def simulator(cli: Cli) -> Iterator[str]:
    """`imagen simulate` in a process of its own, with some faults; its API's address."""
    faults = [argument for fault in FAULTS for argument in ("--fault", fault)]
    process = cli.start("simulate", "--port", "0", "--latency", "0.6", *faults)
    assert process.stdout is not None
    address = next(word for line in process.stdout for word in line.split() if word.startswith("http://127.0.0.1"))
    yield address.strip("'\",")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)


async def add_up_folder(out: Path, bill_usd: float, usage: Path) -> dict[str, int]:
    """The four sums of the batch in a folder."""
    async with open_ledger(out) as engine:
        return await add_up(engine, out, bill_usd, usage=usage)


def test_killed_again_and_again_nothing_is_billed_twice(cli: Cli, simulator: str) -> None:
    """Every row has its picture, no input was billed twice, ledger, files and the simulator agree."""
    cli.environ["REPLICATE_API_TOKEN"] = "r8_rehearsal"
    configure(
        cli,
        usage={"path": str(cli.folder / "usage.db")},
        api_base=simulator,
        delivery_hosts=["localhost"],
        lookup_patience_s=1.0,
        concurrency=4,
    )
    dice = random.Random(KILLS)
    manifest = cli.manifest(JOBS)
    kills = kill_until_done(cli, manifest, "out", cli.folder / "out", dice, most=KILLS)
    status, account = cli.json("status", "out"), read_truth(simulator)
    sys.stderr.write(f"{kills} kills, {account['created']} created, {account['duplicates_billed']} billed twice\n")
    assert kills >= 4
    assert (status["succeeded"], status["held"], status["failed"]) == (JOBS, 0, 0)
    assert (account["duplicates_billed"], account["billed"], account["token_leaks"]) == (0, JOBS, 0)
    # The runs have pushed their rows to the sink of this home.
    sums = asyncio.run(add_up_folder(cli.folder / "out", account["cost_usd"], cli.folder / "usage.db"))
    assert sums == dict.fromkeys(sums, sums["bill"])
    assert {row["file_name"] for row in read_rows(cli.folder / "out")} == list_images(cli.folder / "out")
    assert len(list_images(cli.folder / "out")) == JOBS
