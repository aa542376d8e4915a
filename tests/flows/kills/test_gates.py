"""Best of four with a gate and rerolls against Replicate's simulator, killed again and again: its account is the judge."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.simulator import start_simulator
from tasks.backends.replicate_simulator.settings import Settings
from tests.flows.backends.test_replicate import TOKEN, configure
from tests.flows.conftest import Cli
from tests.flows.test_run import read_rows
from tests.support.killing import kill_until_done
from tests.support.services.postgresql import PASSWORD, Postgresql

pytestmark = [pytest.mark.server, pytest.mark.soak]

ROWS, SAMPLES, REROLLS = 8, 4, 5
MOST_KILLS = 4


def write_manifest(cli: Cli) -> Path:
    """Half of all images are rejected, by chance of their seeds; the rule is partly the run's, partly each row's."""
    rule: dict[str, Any] = {"keep": {"by": "sharpness", "best": 2}, "reject": "seed % 2 = 0"}
    own = {"keep": {"best": 3}, "reroll": REROLLS}
    rows = [{"id": f"row-{number}", "prompt": f"picture {number}", **own} for number in range(ROWS)]
    path = cli.folder / "m.yaml"
    path.write_text(yaml.safe_dump({**rule, "defaults": {"samples": SAMPLES}, "prompts": rows}))
    return path


def test_a_killed_gate_pays_for_nothing_twice(cli: Cli) -> None:
    """Every row ends with three images, each made by one prediction, and the bill is what the budget counts."""
    cli.environ |= TOKEN
    with start_simulator(Settings(latency_s=0.3, picture_kb=20, shrink=16)) as service:
        configure(cli, api_base=service.url, delivery_hosts=["localhost"], concurrency=4)
        kills = kill_until_done(cli, write_manifest(cli), "out", cli.folder / "out", random.Random(3), most=MOST_KILLS)
        truth = service.truth()
    assert kills >= 1
    rows = read_rows(cli.folder / "out")
    kept = [row["id"] for row in rows if row["kept"]]
    assert sorted(kept) == sorted(f"row-{number}" for number in range(ROWS) for _ in range(3))
    assert all(row["seed"] % 2 for row in rows if row["kept"])
    assert len(rows) > ROWS * SAMPLES
    with sqlite3.connect(cli.folder / "out/ledger.db") as db:
        made, paid, micros = db.execute(
            "SELECT count(*), count(DISTINCT job_id), sum(cost_micros) FROM attempts WHERE state = 'succeeded'"
        ).fetchone()
    db.close()
    assert made == paid == len(rows)
    assert truth["created"] == truth["billed"] == made
    assert truth["cost_usd"] == pytest.approx(micros / 1e6)
    status = cli.json("status", "out")
    assert status["cost_usd"] == pytest.approx(truth["cost_usd"])
    assert status["not_kept"] == len(rows) - len(kept)


@pytest.mark.parametrize("budget", [None, "1"])
def test_workers_of_dask_decide_together(cli: Cli, postgresql: Postgresql, budget: str | None) -> None:
    """Whichever worker an image lands at, and whoever writes the rerolls: each row ends with what was asked for."""
    ledger = f"postgresql://postgres@127.0.0.1:{postgresql.port}/postgres"
    backend = {"type": "sketch", "price_usd": 0.001, "concurrency": 4}
    (cli.folder / "imagen.yaml").write_text(json.dumps({"ledger": ledger, "backends": {"sketch": backend}}))
    cli.environ["PGPASSWORD"] = PASSWORD
    out = str(cli.folder / "out")
    limits = [] if budget is None else ["--budget", budget]
    done = cli.json("run", write_manifest(cli), "--out", out, "--runner", "dask", "--workers", "2", *limits)
    rows = read_rows(cli.folder / "out")
    assert sum(bool(row["kept"]) for row in rows) == 3 * ROWS
    assert (done["short"], done["images"]) == (0, len(rows))
    assert done["cost_usd"] == pytest.approx(len(rows) * 0.001)
