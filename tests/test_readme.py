"""The README says what the code does, and the code does what the README says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from flows.cli import app
from tasks.errors import BatchStopped, ImagenError, InputError, Interrupted
from tasks.manifest.rows import ManifestRow
from tasks.metadata import COLUMNS
from tasks.records import Counts
from tasks.summary import Summary

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
UNDOCUMENTED = {"--help", "--install-completion", "--show-completion"}


def table(header: str) -> list[list[str]]:
    """The cells of the README's table that begins with this column."""
    after = README.split(f"| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in after]


def options() -> dict[str, set[str]]:
    """Each long option and the commands that take it."""
    found: dict[str, set[str]] = {}
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]  # it is a group
        for parameter in command.params:
            for spelling in parameter.opts:
                if spelling.startswith("--"):
                    found.setdefault(spelling, set()).add(name)
    return found


def commands() -> set[str]:
    """The names of the commands."""
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # it is a group


def test_every_command_is_documented_and_exists() -> None:
    """The table of commands is the program's."""
    documented = {match[1] for row in table("command") if (match := re.match(r"`imagen (\w+)", row[0]))}
    assert documented == commands()
    mentioned = set(re.findall(r"`imagen (\w+)", README))
    assert mentioned <= commands()


def test_every_option_is_documented_with_its_commands() -> None:
    """The table of options names each option and the commands that take it, and no other."""
    actual = {name: owners for name, owners in options().items() if name not in UNDOCUMENTED}
    documented = {}
    for name, owners, _ in table("option"):
        without = set(re.findall(r"\w+", owners.removeprefix("all but"))) - {"and"}
        key = re.match(r"`(--[\w-]+)`", name)
        assert key is not None
        documented[key[1]] = commands() - without if owners.startswith("all") else without
    assert documented == actual


def test_options_in_examples_exist() -> None:
    """Whatever looks like an option anywhere in the README is one."""
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", README)) <= options().keys() | UNDOCUMENTED


def test_the_columns_are_those_of_the_table() -> None:
    """Names, types and descriptions, in order."""
    assert [[f"`{c.name}`", str(c.type), c.description] for c in COLUMNS] == table("column")


def test_the_exit_statuses_are_those_of_the_errors() -> None:
    """Each documented one is some error's or an end's, and each error's is documented."""
    documented = {int(row[0]) for row in table("exit status")}
    assert documented == {0, ImagenError.exit_code, InputError.exit_code, BatchStopped.exit_code, Interrupted.exit_code}


def test_the_keys_of_the_summary_are_documented(tmp_path: Path) -> None:
    """The JSON of a run has exactly the keys that the README names."""
    summary = Summary(
        out=tmp_path,
        counts=Counts(),
        run=None,
        alive=False,
        wall_s=0,
        generated=None,
        usage_pushed=0,
        usage_pending=0,
        last_activity_us=None,
    )
    sentence = README.split("the final JSON of a run hold", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"`(\w+)`", sentence) == list(summary.as_dict())


def test_the_columns_of_a_row_are_documented() -> None:
    """The README's list of manifest columns is the row model's."""
    sentence = README.split("Rows hold", 1)[1].split(";", 1)[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == set(ManifestRow.model_fields)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_links_lead_somewhere(link: str) -> None:
    """Every file that the README links or shows is there."""
    assert (ROOT / link).exists()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:tasks|flows)/[\w/.]+)`", README + (ROOT / "CONTRIBUTING.md").read_text())))
)
def test_modules_that_the_documents_name_exist(path: str) -> None:
    """A module that moves takes its mention along."""
    assert (ROOT / path).exists()
