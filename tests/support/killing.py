"""Runs that are killed with SIGKILL, each at a moment of its own, until one comes to its end."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

from tests.flows.conftest import Cli
from tests.support.waiting import PATIENCE_S, eventually

MOST_CALLS = 4
"""Paid calls that a run may make before it is killed: on any machine each run gets further than the one before."""
MOST_MOMENT_S = 0.3


def count_calls(home: Path) -> int:
    """The paid calls that the batch's ledger knows."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{home}/ledger.db?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM attempts").fetchone()[0])
    return 0


def run_and_kill(cli: Cli, manifest: Path, out: str, home: Path, dice: random.Random) -> bool:
    """Start the batch again and kill it a moment after some more calls; False when it ended well before that."""
    enough = count_calls(home) + dice.randint(1, MOST_CALLS)
    process = cli.start("run", manifest, "--out", out, "--quiet")
    eventually(lambda: process.poll() is not None or count_calls(home) >= enough)
    time.sleep(dice.uniform(0, MOST_MOMENT_S))
    if process.poll() is None:
        process.kill()
        process.communicate()
        return True
    return finish(cli, process, out)


def finish(cli: Cli, process: subprocess.Popen[str], out: str, patience_s: float = PATIENCE_S) -> bool:
    """Wait for the run's good end; gives False, as `run_and_kill` does then."""
    _, err = process.communicate(timeout=patience_s)
    assert process.returncode == 0, (err, cli.run("status", out).stdout)
    return False


def kill_until_done(
    cli: Cli, manifest: Path, out: str, home: Path, dice: random.Random, *, most: int, last_run_s: float = PATIENCE_S
) -> int:
    """Kill the batch at random moments, `most` times at most, until a run ends well; gives how often it was killed.

    Args:
        cli: Whose folder and settings are used.
        manifest: Of the batch.
        out: Where it goes.
        home: The folder of its ledger.
        dice: Chooses the moments.
        most: After so many kills the next run is left to end.
        last_run_s: How long that one may take.
    """
    for kills in range(most):
        if not run_and_kill(cli, manifest, out, home, dice):
            return kills
    finish(cli, cli.start("run", manifest, "--out", out, "--quiet"), out, last_run_s)
    return most
