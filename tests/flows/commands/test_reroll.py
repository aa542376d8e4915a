"""`imagen reroll` and `imagen show` as their users call them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import Cli

pytestmark = pytest.mark.server


@pytest.mark.soak  # four whole runs
def test_a_reroll_is_an_ordinary_row_that_no_later_run_undoes(cli: Cli) -> None:
    """In the table, the usage rows and the counts; the same manifest again generates nothing; the budget holds."""
    cli.config(price_usd=0.01)
    manifest = cli.manifest(2)
    cli.json("run", manifest, "--out", "out", "--budget", "0.03")

    new = cli.json("reroll", "out", "--id", "row-0")
    old = cli.json("show", "out", "--id", "row-0")
    assert (new["id"], new["status"], new["cost_usd"]) == ("row-0-r1", "succeeded", 0.01)
    assert new["seed"] != old["seed"]
    assert json.loads(new["extra"])["rerolled_from"] == old["job_id"]
    assert Path(cli.folder / new["path"]).read_bytes() != Path(cli.folder / old["path"]).read_bytes()

    again = cli.json("run", manifest, "--out", "out", "--budget", "0.03")
    assert (again["total"], again["images"], again["generated"], again["usage_pushed"]) == (3, 3, 0, 3)
    assert again["cost_usd"] == pytest.approx(0.03)
    rows = pq.read_table(cli.folder / "out/metadata.parquet").to_pylist()
    assert [row["id"] for row in rows] == ["row-0", "row-1", "row-0-r1"]

    over = cli.run("reroll", "out", "--id", "row-1")
    assert over.returncode == 3
    assert "budget" in over.stdout
    assert "imagen resume out" in over.stdout
    made_before = cli.run("reroll", "out", "--id", "row-0", "--seed", str(new["seed"]))
    assert made_before.returncode == 3, "another identity, and no budget for it"


def test_a_name_that_means_nothing_costs_nothing(cli: Cli) -> None:
    """One clear error before any server is started."""
    cli.json("run", cli.manifest(1), "--out", "out")
    for command in ("reroll", "show"):
        done = cli.run(command, "out", "--id", "nobody")
        assert (done.returncode, done.stdout) == (2, "")
        assert "no row has the id 'nobody'" in done.stderr
        assert "Prefect" not in done.stderr


def test_rejected_images_are_made_once_more(cli: Cli) -> None:
    """A list of ids from standard input is rejected, counted, and rerolled within the budget; asked again, nothing is paid."""
    cli.config(price_usd=0.01)
    cli.json("run", cli.manifest(3), "--out", "out", "--budget", "0.05")
    done = cli.run("pick", "out", "--verdict", "reject", "--ids", "-", "--json", stdin="row-0\nrow-2\n\n")
    assert json.loads(done.stdout)["images"] == 2
    assert cli.json("status", "out")["rejected"] == 2
    made = cli.json("reroll", "out", "--rejected")
    assert (made["total"], made["images"], made["generated"]) == (5, 5, 2)
    assert made["cost_usd"] == pytest.approx(0.05)
    assert made["rerolled"] == 2
    assert cli.json("reroll", "out", "--rejected") == {"rerolled": 0, "already_rerolled": 2, "without_image": 0}
    over = cli.run("reroll", "out", "--where", "id = 'row-1'")
    assert (over.returncode, "rerolling 1 image" in over.stderr) == (3, True), "the budget is spent"
    assert cli.run("reroll", "out").returncode == 2
