"""Ctrl-C, SIGTERM and SIGKILL at real processes: what is done stays done, what is open goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import Cli
from tests.flows.test_run import list_images, read_rows
from tests.support.killing import kill_until_done
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.server


def wait_until(folder: Path, query: str, process: subprocess.Popen[str]) -> None:
    """Wait until a query of the folder's ledger finds something."""
    eventually(lambda: _found(folder / "ledger.db", query) or process.poll() is not None)
    assert _found(folder / "ledger.db", query), f"never came true: {query}; {process.communicate()}"


def _found(ledger: Path, query: str) -> bool:
    try:
        db = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return False
    try:
        return bool(db.execute(query).fetchone())
    except sqlite3.OperationalError:
        return False
    finally:
        db.close()


HEARD = "the first signal was heard"
TELL = f"""
import sys
from tasks.generate import signals
from tasks.generate.stop import StopSignal

signals.PATIENCE_S = {PATIENCE_S}

def tell(self, drain=StopSignal.drain):
    drain(self)
    print({HEARD!r}, file=sys.stderr, flush=True)

StopSignal.drain = tell
"""
"""Code for `Cli.before`, so that a test sees a run hear its first signal, and that a slow machine has the time for an orderly end."""


def interrupt_twice(process: subprocess.Popen[str]) -> None:
    """Send Ctrl-C to a run that tells what it hears, and again once it heard the first: two at once may become one."""
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any(HEARD in line for line in process.stderr)
    process.send_signal(signal.SIGINT)


IN_FLIGHT = "SELECT 1 FROM jobs WHERE state = 'submitted' LIMIT 1"
SOME_DONE = "SELECT 1 FROM jobs WHERE state = 'succeeded' LIMIT 1"


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])  # one handler
def test_the_first_signal_drains(cli: Cli, number: int) -> None:
    """In-flight jobs land, table and usage rows are written, exit status 130, and a resume ends the batch."""
    cli.config(latency_s=0.5, concurrency=4)
    process = cli.start("run", cli.manifest(40), "--out", "out", "--quiet")
    wait_until(cli.folder / "out", SOME_DONE, process)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    status = cli.json("status", "out")
    assert (status["submitting"], status["submitted"], status["outcome"]) == (0, 0, "interrupted")
    assert 0 < status["succeeded"] < 40
    assert status["usage_pushed"] == status["succeeded"]
    assert sum(row["status"] == "succeeded" for row in read_rows(cli.folder / "out")) == status["succeeded"]
    cli.config()
    done = cli.json("run", "m.jsonl", "--out", "out")
    assert (done["succeeded"], done["generated"]) == (40, 40 - status["succeeded"])


def test_the_second_signal_stops_now(cli: Cli) -> None:
    """A prediction of a minute is not waited for; exit status 130 within seconds, no traceback, resumable."""
    cli.config(latency_s=60, concurrency=2)
    cli.before = TELL
    process = cli.start("run", cli.manifest(4), "--out", "out", "--quiet")
    wait_until(cli.folder / "out", IN_FLIGHT, process)
    interrupt_twice(process)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "imagen resume out" in err
    cli.config()
    assert cli.json("resume", "out", "--config", "imagen.yaml")["succeeded"] == 4


@pytest.mark.soak
def test_killed_at_any_moment_no_finished_job_is_done_again(cli: Cli) -> None:
    """SIGKILL again and again; at the end every row has its picture, and each was made by one attempt."""
    dice = random.Random(7)
    cli.config(latency_s=0.2, concurrency=8)
    manifest = cli.manifest(60)
    kills = kill_until_done(cli, manifest, "out", cli.folder / "out", dice, most=6)
    assert kills >= 1
    rows = read_rows(cli.folder / "out")
    assert [row["id"] for row in rows] == [f"row-{number}" for number in range(60)]
    assert {row["file_name"] for row in rows} == list_images(cli.folder / "out")
    assert len(list_images(cli.folder / "out")) == 60
    with sqlite3.connect(cli.folder / "out/ledger.db") as db:
        finished = db.execute("SELECT count(*) FROM attempts WHERE state = 'succeeded' GROUP BY job_id").fetchall()
    db.close()
    assert finished == [(1,)] * 60


def test_two_runs_never_share_a_folder(cli: Cli) -> None:
    """The second is refused with the first one's process id; killed, the first gives the folder back."""
    cli.config(latency_s=60, concurrency=2)
    process = cli.start("run", cli.manifest(2), "--out", "out", "--quiet")
    wait_until(cli.folder / "out", IN_FLIGHT, process)
    second = cli.run("run", "m.jsonl", "--out", "out", "--quiet")
    assert second.returncode == 2
    assert f"process {process.pid}" in second.stderr
    assert cli.json("status", "out")["outcome"] == "running"
    process.kill()
    process.communicate()
    assert cli.json("status", "out")["outcome"] == "killed"
    cli.config()
    assert cli.json("run", "m.jsonl", "--out", "out")["succeeded"] == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; `make test` in CI runs as root")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.soak  # two runs on a disk of its own; the tests of the store hold the stop
def test_a_full_disk_stops_resumable(cli: Cli, small_disk: Path) -> None:
    """One clear message and exit status 3; with room again the batch ends, and nothing was lost."""
    out = small_disk / "out"
    big = cli.folder / "m.txt"
    big.write_text("".join(f"mountain number {number}\n" for number in range(40)))
    process = cli.start("run", big, "--out", out)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3, stdout + stderr
    assert "Traceback" not in stderr
    assert "full" in stdout + stderr or "No space" in stdout + stderr
    subprocess.run(["mount", "-o", "remount,size=60m", small_disk], check=True)
    before = cli.json("status", out)
    record = cli.json("resume", out)
    assert (record["succeeded"], record["failed"]) == (40, 0)
    assert record["generated"] == 40 - before["succeeded"]
    assert shutil.disk_usage(small_disk).free > 0
