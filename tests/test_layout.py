"""The rules that keep two generic package names and Prefect's loader out of trouble."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import flows
import tasks
from tasks.core.installation import DISTRIBUTION
from tasks.core.starter import find_shipped
from tests.support.factories import make_job, open_batch_with

ROOT = Path(__file__).parents[1]
FLOW_FILES = sorted((ROOT / "flows").rglob("*.py"))
CODE_FILES = sorted([*FLOW_FILES, *(path for name in ("tasks", "benchmarks") for path in (ROOT / name).rglob("*.py"))])
HEAVY = ("prefect", "pyarrow", "sqlalchemy", "PIL", "httpx", "torch", "diffusers", "transformers")


async def make_batch(folder: Path) -> None:
    """An output folder with one job in its ledger."""
    folder.mkdir()
    async with open_batch_with(folder, [make_job(0)]):
        pass


def imported_by(arguments: str, folder: Path) -> set[str]:
    """Which of the heavy packages are loaded after a command has run."""
    code = (
        "import sys\n"
        f"sys.argv = ['imagen', *{arguments!r}.split()]\n"
        "from flows.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        f"print('loaded:', *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return set(answer.stderr.split("loaded:")[1].split())


def test_both_packages_come_from_this_checkout() -> None:
    """No other distribution's `flows` or `tasks` is imported instead."""
    for package in (flows, tasks):
        assert Path(package.__file__ or "").is_relative_to(ROOT)
    owners = packages_distributions()
    assert [set(owners.get(name, [DISTRIBUTION])) for name in ("flows", "tasks")] == [{DISTRIBUTION}, {DISTRIBUTION}]


NEVER_LOADED_BY_PREFECT = {"commands", "help.py"}


@pytest.mark.parametrize(
    "path",
    [path for path in FLOW_FILES if NEVER_LOADED_BY_PREFECT.isdisjoint(path.relative_to(ROOT).parts)],
    ids=lambda path: path.stem,
)
def test_flows_hold_no_classes(path: Path) -> None:
    """Prefect loads a flow's file under another module name, so a class in it would exist twice.

    A command's options are a class of their own, which nobody else uses.
    """
    assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]


def test_no_flow_file_shadows_anything() -> None:
    """Prefect puts `flows/` first on the path: a file there must not be named like a standard or top-level module."""
    taken = set(sys.stdlib_module_names) | {"flows", "tasks", "tests", *packages_distributions()}
    assert not {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__"} & taken


@pytest.mark.parametrize("path", CODE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    """A file of one idea fits on some screens; a function fits on one."""
    text = path.read_text()
    assert len(text.splitlines()) <= 250
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 40, node.name


def test_tests_mirror_the_rooms() -> None:
    """The tests of a module stand in the folder of its room, and every room has tests."""
    rooms = {path.parent.relative_to(ROOT) for path in (ROOT / "tasks").rglob("*.py")}
    assert {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests/tasks").rglob("*.py")} == rooms


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ("--help", set()),
        ("run --help", set()),
        ("backends", {"httpx"}),  # a configured Replicate brings its client
        ("prices", set()),
        ("plan prompts.txt", set()),
        ("usage", {"sqlalchemy"}),
    ],
)
def test_light_commands_stay_light(arguments: str, allowed: set[str], tmp_path: Path) -> None:
    """A command imports only what it needs, every type of backend configured: `import prefect` alone takes a second."""
    (tmp_path / "imagen.yaml").write_text(find_shipped("imagen.yaml").read_text())
    (tmp_path / "prompts.txt").write_text("a fox\n")
    assert imported_by(arguments, tmp_path) <= allowed


@pytest.mark.parametrize("arguments", ["status b", "show b --id row-0", "export b --format csv --to -"])
async def test_reading_a_batch_loads_the_ledger_and_nothing_else(arguments: str, tmp_path: Path) -> None:
    """No Prefect, no Parquet and no client: what only reads a ledger answers at once."""
    await make_batch(tmp_path / "b")
    assert imported_by(arguments, tmp_path) <= {"sqlalchemy"}
