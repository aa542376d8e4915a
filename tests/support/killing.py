"""Runs that are killed: SIGKILL after so many seconds, again and again until one comes to its end."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from tests.flows.conftest import Cli

MOST_KILLS = 40
PATIENT_AFTER = 8
"""After so many kills a run gets twice the time, and so on: on a busy machine too the batch gets further at last."""


def killed_run(cli: Cli, manifest: Path, out: str, after_s: float) -> bool:
    """Start the batch again, kill it after so many seconds; False when it ended well before."""
    process = cli.start("run", manifest, "--out", out, "--quiet")
    try:
        _, err = process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode == 0, (err, cli.run("status", out).stdout)
    return False


def killed_until_done(cli: Cli, manifest: Path, out: str, *, seconds: tuple[float, float], dice: random.Random) -> int:
    """Kill the batch after some time between these, until a run ends well; gives how often it was killed."""
    kills = 0
    while killed_run(cli, manifest, out, dice.uniform(*seconds) * (1 + kills / PATIENT_AFTER)):
        kills += 1
        assert kills < MOST_KILLS, "the batch makes no progress"
    return kills
