"""Caps as a person meets them: in the configuration, in a run that stops, in `imagen caps`."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.flows.conftest import Cli

NOON_US = round(datetime(2030, 6, 15, 12, tzinfo=UTC).timestamp() * 1e6)
CONFIG = """
backends:
  sketch: {{type: sketch, price_usd: 0.01}}
caps:
  - {{usd: {usd}, per: day}}
  - {{images: 100, per: month, timezone: Europe/Berlin, backend: sketch}}
"""


@pytest.fixture
def offline(offline: Cli) -> Cli:
    """The command line at noon in the middle of a month: no day or month ends during a test."""
    shift_ns = NOON_US * 1_000 - time.time_ns()
    offline.before = f"import time; now_ns = time.time_ns; time.time_ns = lambda: now_ns() + {shift_ns}"
    return offline


def configure(cli: Cli, usd: float) -> None:
    """Write a configuration whose first cap has this amount."""
    (cli.folder / "imagen.yaml").write_text(CONFIG.format(usd=usd))


def test_a_cap_stops_a_batch_and_goes_on_when_it_is_raised(offline: Cli) -> None:
    """Exit status 3 names the cap and when it frees; `imagen caps` lists what is counted; a raised cap counts at once."""
    configure(offline, usd=0.05)
    assert offline.run("try", "a red fox", "--samples", "3", "--out", "a").returncode == 0
    stopped = offline.run("try", "a green fox", "--samples", "4", "--out", "b")
    assert stopped.returncode == 3
    assert "the cap of $0.05 a day (UTC) is reached" in stopped.stderr
    assert "It frees at" in stopped.stderr
    quiet = offline.run("try", "a green fox", "--samples", "4", "--out", "b", "--quiet")
    assert quiet.returncode == 3
    assert quiet.stderr.startswith("imagen: stopped: the cap of $0.05 a day (UTC) is reached")
    assert quiet.stderr.count("\n") == 1
    dollars, images = offline.json("caps")["caps"]
    assert (dollars["frees_at"], images["frees_at"]) == ("2030-06-16T00:00:00+00:00", "2030-07-01T00:00:00+02:00")
    assert (dollars["spent"], dollars["reserved"], dollars["free"]) == (0.05, 0, 0)
    assert (images["spent"], images["free"]) == (5, 95)
    offline.environ["COLUMNS"] = "200"  # a narrow terminal has two lines for each
    listed = offline.run("caps").stdout.splitlines()
    amounts = ["$0.05", "$0.00", "$0.00", dollars["frees_at"][:10]]
    assert listed[1].split()[:8] == ["$0.05", "a", "day", "everything", *amounts]
    configure(offline, usd=0.06)
    assert offline.run("try", "a green fox", "--samples", "4", "--out", "b").returncode == 3
    assert offline.json("caps")["caps"][0]["spent"] == 0.06
    configure(offline, usd=0.1)
    assert offline.run("try", "a green fox", "--samples", "4", "--out", "b").returncode == 0
    assert offline.json("caps")["caps"][0]["spent"] == 0.07


def test_a_plan_shows_what_each_cap_has_left(offline: Cli) -> None:
    """It says what the plan would take of each; its exit status is 3 only where a run would send nothing at all."""
    configure(offline, usd=0.05)
    assert offline.run("try", "a red fox", "--samples", "3").returncode == 0
    offline.manifest(4)
    planned = offline.run("plan", "m.jsonl")
    assert planned.returncode == 0
    assert "cap of $0.05 a day (UTC): $0.02 left, this plan takes $0.04: a run stops there" in planned.stdout
    assert (
        "cap of 100 images a month (Europe/Berlin) for backend sketch: 97 images left, this plan takes 4 images: enough"
        in (planned.stdout)
    )
    assert [cap["enough"] for cap in offline.json("plan", "m.jsonl")["caps"]] == [False, True]
    configure(offline, usd=0.02)
    refused = offline.run("plan", "m.jsonl")
    assert refused.returncode == 3
    assert "A run would stop before its first call: the cap of $0.02 a day (UTC) is reached" in refused.stderr
    configure(offline, usd=0.035)
    refused = offline.run("plan", "m.jsonl")
    assert refused.returncode == 3
    assert "the cap of $0.035 a day (UTC) leaves less than one image takes" in refused.stderr


def test_a_wrong_cap_is_told_before_anything_is_sent(offline: Cli) -> None:
    """A cap that would not hold is refused with file, line and remedy, by a command that pays and by one that reads."""
    (offline.folder / "imagen.yaml").write_text("backends:\n  sketch: {type: sketch}\ncaps: [{per: day}]\n")
    for arguments in (("caps",), ("try", "a red fox")):
        done = offline.run(*arguments)
        assert done.returncode == 2
        assert "imagen.yaml:3: caps.0: needs either usd or images" in done.stderr


def test_without_caps_the_command_says_how_to_set_them(offline: Cli) -> None:
    """An empty list is no error."""
    assert "caps: [{usd: 20, per: day}]" in offline.run("caps").stdout
    assert offline.json("caps") == {"caps": [], "problem": None}


def test_a_state_folder_that_cannot_be_used_is_told(offline: Cli) -> None:
    """The caps then hold for each run alone, which the run says at its start."""
    configure(offline, usd=0.02)
    (offline.folder / "file").touch()
    offline.environ["XDG_STATE_HOME"] = str(offline.folder / "file")
    for prompt in ("a red fox", "a green fox"):
        done = offline.run("try", prompt, "--samples", "3")
        assert "the caps hold for this run alone, because the state folder cannot be used" in done.stderr
        assert done.returncode == 3
        quiet = offline.run("try", prompt, "--samples", "3", "--quiet")
        assert "the caps hold for this run alone" in quiet.stderr
        assert "generating" not in quiet.stderr
    assert "nothing is counted" in offline.run("caps").stdout
    listed = offline.json("caps")["caps"]
    assert [(cap["spent"], cap["reserved"], cap["free"]) for cap in listed] == [(None, None, None)] * 2
    offline.manifest(1)
    planned = offline.run("plan", "m.jsonl").stdout
    assert "enough; what was spent is not known, because the state folder cannot be used" in planned


def test_counts_of_another_version_are_one_clear_error(offline: Cli) -> None:
    """Tables that cannot be read name their file, for a command that reads and for a run, which sends nothing."""
    configure(offline, usd=0.02)
    accounts = Path(offline.json("caps")["counted_in"])
    with closing(sqlite3.connect(accounts)) as db, db:
        db.execute("ALTER TABLE charges RENAME COLUMN micros TO nanos")
    offline.manifest(1)
    for command in (("caps",), ("plan", "m.jsonl")):
        read = offline.run(*command)
        assert (read.returncode, "Traceback" in read.stderr) == (2, False)
        assert f"{accounts}: what is spent cannot be read (no such column" in read.stderr
    sent = offline.run("try", "a red fox", "--out", "a")
    assert sent.returncode == 3
    assert f"what is spent cannot be counted in {accounts} (no such column" in sent.stderr


def test_amounts_are_shown_with_every_digit(offline: Cli) -> None:
    """A cap above ten dollars is not rounded: what is spent, reserved and free add up to it."""
    configure(offline, usd=20.005)
    assert offline.run("try", "a red fox").returncode == 0
    offline.environ["COLUMNS"] = "200"
    assert offline.run("caps").stdout.splitlines()[1].split()[:7] == [
        "$20.005",
        "a",
        "day",
        "everything",
        "$0.01",
        "$0.00",
        "$19.995",
    ]
