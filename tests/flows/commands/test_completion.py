"""What Tab offers, asked for as each shell asks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from flows.cli_support.completion import complete_backends, complete_batches
from tasks.ledger.database.schema import jobs
from tests.support.factories import make_job, open_batch_with


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/foxes", "runs/owls", "runs/foxes/inside", ".hidden/batch", "runs/none"):
        Path(name).mkdir(parents=True)
        if "none" not in name:
            Path(name, "ledger.db").touch()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["runs/foxes", "runs/owls"]),
        ("r", ["runs/foxes", "runs/owls"]),
        ("runs/o", ["runs/owls"]),
        ("./runs/o", ["./runs/owls"]),
        ("nowhere/", []),
    ],
)
def test_batches_are_offered_as_they_are_typed(typed: str, offered: list[str]) -> None:
    """Only folders that are one, none inside another."""
    assert complete_batches(typed) == offered


def test_backends_are_those_of_the_configuration() -> None:
    """A configuration that cannot be read offers none and says nothing."""
    assert complete_backends("") == ["sketch"]
    Path("imagen.yaml").write_text("backends: {sketch: {type: sketch}, shark: {type: sketch}, fox: {type: sketch}}")
    assert complete_backends("s") == ["sketch", "shark"]
    Path("imagen.yaml").write_text("nonsense: [")
    assert complete_backends("") == []


@pytest.mark.parametrize(
    "environ",
    [
        {"_IMAGEN_COMPLETE": "complete_bash", "COMP_WORDS": "imagen status runs/o", "COMP_CWORD": "2"},
        {"_IMAGEN_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "imagen status runs/o"},
        {
            "_IMAGEN_COMPLETE": "complete_fish",
            "_TYPER_COMPLETE_ARGS": "imagen status runs/o",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    ],
    ids=lambda environ: environ["_IMAGEN_COMPLETE"],
)
def test_the_shells_get_them(environ: dict[str, str]) -> None:
    """Through the program itself, which loads nothing heavy for it."""
    code = (
        "import sys\nfrom flows.cli import build_app\ntry:\n    build_app()(prog_name='imagen')\nfinally:\n"
        "    print('heavy:', {'prefect', 'pyarrow', 'sqlalchemy'} & set(sys.modules), file=sys.stderr)"
    )
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "runs/owls" in done.stdout
    assert "foxes" not in done.stdout
    assert done.stderr.endswith("heavy: set()\n")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("reroll here --id ro", "row-0"),
        ("resume here --only modera", "moderation"),
        ("resume here --only held,modera", "held,moderation"),
        ("usage --by model,cal", "model,caller"),
        ("simulate --fault drop", "drop_after_create"),
    ],
)
async def test_values_are_offered(words: str, offered: str) -> None:
    """Ids and error kinds come from the ledger of the batch that was named; lists go on after a comma."""
    Path("here").mkdir()
    async with open_batch_with(Path("here"), [make_job(0)]) as batch, batch.engine.begin() as db:
        await db.execute(update(jobs).values(state="failed", error_kind="moderation"))
    count = str(len(words.split()))
    environ = {"_IMAGEN_COMPLETE": "complete_bash", "COMP_WORDS": f"imagen {words}", "COMP_CWORD": count}
    code = "from flows.cli import build_app; build_app()(prog_name='imagen')"
    path = {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], env=environ | path, capture_output=True, text=True, check=False
    )
    assert offered in done.stdout.split(), done.stderr


def ask_in_bash(home: Path, option: str) -> subprocess.CompletedProcess[str]:
    """Call imagen with an option from a bash of its own."""
    code = "from flows.cli import build_app; build_app()(prog_name='imagen')"
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3])}
    # A last command would take bash's place, and then there is no bash to be found.
    asked = f'{sys.executable} -c "{code}" {option}; exit $?'
    return subprocess.run(["bash", "-c", asked], env=environ, capture_output=True, text=True, check=False)


def test_completion_is_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    """`imagen --install-completion` called by bash writes bash's completion into that user's home folder."""
    done = ask_in_bash(tmp_path, "--install-completion")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "imagen" in (tmp_path / ".bashrc").read_text()


def test_completion_is_printed_for_the_shell_that_asks(tmp_path: Path) -> None:
    """`imagen --show-completion` called by bash prints it and writes nothing."""
    done = ask_in_bash(tmp_path, "--show-completion")
    assert (done.returncode, "complete" in done.stdout) == (0, True), done.stdout + done.stderr
    assert not (tmp_path / ".bashrc").exists()
