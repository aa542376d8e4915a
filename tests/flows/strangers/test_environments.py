"""Odd environments: streams that are closed, full or of another encoding, no home folder, few files, strict warnings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import NOWHERE, Cli
from tests.support.surroundings import NO_TELEMETRY
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[3]
NO_USER = "import pwd\ndef unknown(*_): raise KeyError('no such user')\npwd.getpwuid = pwd.getpwnam = unknown"
"""As in a container that runs under any number."""
PROMPT = "a fox 狐 🦊"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch with one image of a prompt that few encodings can spell."""
    cli = Cli(tmp_path_factory.mktemp("made"), {"PREFECT_API_URL": NOWHERE, "PYTHONPATH": str(ROOT)})
    cli.environ |= {"XDG_STATE_HOME": str(cli.folder / "state"), **NO_TELEMETRY}
    assert cli.run("try", PROMPT, "--out", "b", "--quiet").returncode == 0
    return cli.folder / "b"


@pytest.fixture
def batch(offline: Cli, made: Path) -> Cli:
    """A folder `b` with a copy of it."""
    shutil.copytree(made, offline.folder / "b")
    return offline


def shell(cli: Cli, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which `imagen` is the real program, with redirections of the shell's own."""
    script = f'imagen() {{ "{sys.executable}" -m flows "$@"; }}\n{command}'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=cli.folder,
        env={**os.environ, **cli.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert "internal error" not in done.stdout + done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    "redirections",
    [*(pytest.param(text, marks=pytest.mark.soak) for text in (">&-", ">&- 2>&-")), "2>&-", "<&- >&- 2>&-"],
)
@pytest.mark.parametrize(("command", "status"), [("status b", 0), ("plan none.txt", 2), ("try again --out b", 0)])
def test_closed_streams_change_no_exit_status(redirections: str, command: str, status: int, batch: Cli) -> None:
    """Nothing that is opened later is taken for a stream, and nothing is written into it."""
    assert shell(batch, f"imagen {command} {redirections}").returncode == status
    ledger = (batch.folder / "b/ledger.db").read_bytes()
    assert ledger.startswith(b"SQLite format 3")


@pytest.mark.parametrize("command", ["status b --json", "export b --format csv --to -", "show b --id b/x"])
def test_a_full_standard_output_is_told(command: str, batch: Cli) -> None:
    """A result that nobody got is no success."""
    done = shell(batch, f"imagen {command} > /dev/full")
    assert done.returncode in {2, 3}
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["export b --format jsonl --to -", "prices", "run --help"])
def test_a_reader_that_goes_is_no_error(command: str, batch: Cli) -> None:
    """As in `imagen export ... | head`: 1 would say that jobs have failed."""
    done = shell(batch, f"set -o pipefail; imagen {command} | head -c 1 > /dev/null")
    assert done.returncode == 0
    assert done.stderr in {"", "wrote -: 1 rows\n", "wrote -: 1 row\n"}


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_an_encoding_that_cannot_spell_a_prompt_shows_escapes(encoding: str, batch: Cli) -> None:
    """JSON stays JSON of the same text, and what is for people is shown."""
    file = next((batch.folder / "b/images").rglob("*.png")).relative_to(batch.folder / "b")
    shown = shell(batch, f"imagen show b --id {file} --json", PYTHONIOENCODING=encoding)
    assert json.loads(shown.stdout)["prompt"] == PROMPT
    assert r"\u72d0" in shell(batch, f"imagen show b --id {file}", PYTHONIOENCODING=encoding).stdout


def test_few_open_files_are_enough(batch: Cli) -> None:
    """Thirty-two, as some schedulers and containers allow."""
    assert shell(batch, "ulimit -n 32; imagen status b && imagen try more --out b").returncode == 0


def test_too_few_open_files_are_told(batch: Cli) -> None:
    """The reason and the remedy, in one line."""
    done = shell(batch, "ulimit -n 8; imagen try more --out b")
    assert done.returncode in {2, 3}
    assert "oo many open files" in done.stderr or "open database file" in done.stderr


def test_strict_warnings_end_nothing(batch: Cli) -> None:
    """A library's warning is no reason to lose a run, and no line on the screen."""
    done = shell(batch, "imagen try more --out b --quiet", PYTHONWARNINGS="error")
    assert done.returncode == 0
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("status b", 0),
        ("plan m.txt", 0),
        ("backends", 0),
        ("init new", 0),
        ("usage", 2),
        ("try x", 2),
        ("plan ~/m.txt", 2),
    ],
)
def test_a_user_without_a_home_folder_is_served_or_told(command: str, status: int, batch: Cli) -> None:
    """What needs no state works; the rest names HOME, and no folder called `~` appears."""
    (batch.folder / "m.txt").write_text("a fox\n")
    batch.before = f"import os; os.environ.pop('HOME', None); os.environ.pop('XDG_STATE_HOME', None)\n{NO_USER}"
    done = batch.run(*command.split())
    assert done.returncode == status, done.stderr
    assert "internal error" not in done.stderr
    assert status == 0 or "HOME" in done.stderr
    assert not (batch.folder / "~").exists()


@pytest.mark.parametrize("option", ["--out=~/b", "--config=~/none.yaml"])
def test_the_home_folder_is_found_behind_an_equals_sign(option: str, batch: Cli) -> None:
    """Shells leave `~` alone there; it is never a folder of that name."""
    batch.environ["PREFECT_API_URL"] = NOWHERE
    done = batch.run("try", "x", option)
    assert done.returncode == (0 if "out" in option else 2), done.stderr
    assert not (batch.folder / "~").exists()
    assert os.environ["HOME"] in done.stdout + done.stderr
