"""`imagen gallery` as its users call it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.flows.conftest import Cli
from tests.support.factories import make_job
from tests.support.waiting import PATIENCE_S
from tests.tasks.report.gallery.batches import failed, write_batch

NO_PLOTS = "import sys; sys.modules['matplotlib'] = None"
"""Plots take nearly all of a small gallery's time."""


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A picture, and a job that failed."""
    asyncio.run(write_batch(tmp_path / "foxes", [(make_job(0), None), (make_job(1), failed("timeout", "late"))]))
    return tmp_path / "foxes"


def test_the_page_is_written_and_told(offline: Cli, batch: Path) -> None:
    """People read where the page is; written again, no thumbnail is made twice."""
    first, second = offline.run("gallery", "foxes"), offline.run("gallery", "foxes")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [
        "foxes: 1 images of 2 jobs; 1 thumbnails made",
        "open it: foxes/index.html",
    ]
    assert "0 thumbnails made" in second.stdout
    assert (batch / "index.html").is_file()


def test_two_batches_are_compared(offline: Cli, batch: Path) -> None:
    """The record names the comparison and both galleries, in the order of the arguments."""
    offline.before = NO_PLOTS
    asyncio.run(write_batch(batch.parent / "owls", [(make_job(2), None)]))
    record = offline.json("gallery", "foxes", "owls")
    assert record["page"] == "foxes/compare-owls.html"
    assert [(each["out"], each["pictures"]) for each in record["galleries"]] == [("foxes", 1), ("owls", 1)]
    assert all((batch.parent / name / "index.html").is_file() for name in ("foxes", "owls"))


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize("arguments", [("nowhere",), ("foxes", "nowhere")])
def test_a_folder_without_a_batch_is_bad_input(offline: Cli, arguments: tuple[str, ...]) -> None:
    """One clear error, exit status 2."""
    offline.before = NO_PLOTS
    done = offline.run("gallery", *arguments)
    assert done.returncode == 2
    assert (
        done.stderr == "imagen: nowhere: is not the output folder of a batch (it has no ledger.db and no ledger.json)\n"
    )


def test_the_page_opens_when_asked(offline: Cli, batch: Path, tmp_path: Path) -> None:
    """`--open` starts the user's browser with the page's address; without it none is started."""
    offline.before = NO_PLOTS
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    browser.chmod(0o755)
    offline.environ["BROWSER"] = f"{browser} %s"
    offline.run("gallery", "foxes")
    assert not (tmp_path / "opened").exists()
    assert offline.run("gallery", "foxes", "--open").returncode == 0
    assert (tmp_path / "opened").read_text().strip() == (batch / "index.html").as_uri()


def test_two_who_write_it_at_once_wait_for_each_other(offline: Cli, batch: Path) -> None:
    """Each process ends well, the thumbnail is made once, and the page names what is there."""
    offline.before = NO_PLOTS
    processes = [offline.start("gallery", "foxes", "--json") for _ in range(3)]
    records = [json.loads(process.communicate(timeout=PATIENCE_S)[0]) for process in processes]
    assert sorted(record["galleries"][0]["thumbnails_made"] for record in records) == [0, 0, 1]
    (script,) = (batch / "gallery/rows").iterdir()
    assert script.name in (batch / "index.html").read_text()


@pytest.mark.server
def test_a_copied_row_of_a_real_run_costs_nothing_in_its_folder(cli: Cli) -> None:
    """What the gallery holds as a job's row is, run again into the same folder, that very job: done already."""
    cli.before = NO_PLOTS
    cli.config(price_usd=0.01)
    (cli.folder / "m.yaml").write_text(
        "template: {prompt: 'a {what}', width: 32, height: 32}\nmatrix: {what: [fox, owl]}"
    )
    made = cli.json("run", "m.yaml", "--out", "out")
    cli.json("gallery", "out")
    (script,) = (cli.folder / "out/gallery/details").iterdir()
    text = script.read_text()
    rows = json.loads(text[text.index(",") + 1 : text.rindex(")")])["columns"]["row"]["values"]
    (cli.folder / "again.jsonl").write_text("\n".join(rows))
    again = cli.json("run", "again.jsonl", "--out", "out")
    assert (made["images"], again["images"], again["generated"], again["cost_usd"]) == (2, 2, 0, 0.02)
