"""The help of every command, as a person reads it in a terminal of 80 columns."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli import build_app
from flows.cli_support.help import GROUPS

COMMANDS: dict[str, Any] = dict(typer.main.get_command(build_app()).commands)  # type: ignore[attr-defined]  # it is a group
ALL = [*COMMANDS, "usage push", "usage migrate"]


def show_help(command: str) -> str:
    """What `imagen COMMAND --help` prints."""
    done = CliRunner().invoke(build_app(), [*command.split(), "--help"], env={"COLUMNS": "80"}, prog_name="imagen")
    assert done.exit_code == 0, done.output
    return done.output


def test_every_command_stands_in_one_group() -> None:
    """The overview is complete, grouped, and names where the documentation is."""
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(COMMANDS)
    overview = show_help("")
    assert [title for title in GROUPS if f"\n{title}:\n" not in overview] == []
    assert "..." not in overview.split("Run:")[1]
    assert "Documentation:" in overview


@pytest.mark.parametrize("command", ALL)
def test_help_fits_and_has_an_example(command: str) -> None:
    """80 columns, whole sentences, an example that names the command, and bounds never as `[0<=x<=9]`."""
    text = show_help(command)
    assert max(map(len, text.splitlines())) <= 80
    assert f"Example: imagen {command}" in text
    assert "<=x" not in text
    assert "x>=" not in text


@pytest.mark.parametrize("command", ALL)
def test_every_help_text_is_a_sentence(command: str) -> None:
    """It begins with a capital, or with a value or a placeholder, and ends with a full stop."""
    found = COMMANDS[command.split(maxsplit=1)[0]]
    if " " in command:
        found = found.commands[command.split()[1]]
    texts = [parameter.help for parameter in found.params if parameter.name != "help"]
    assert [text for text in texts if not re.search(r"(\.|\.  \[default: .*\])$", text or "")] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["reroll", "runs/foxes", "--id", "a", "--id", "b"],
        ["run", "m.txt", "--budget", "1", "--budget", "5"],
        ["usage", "--since", "1d", "--since=2d"],
        ["plan", "m.txt", "--backend", "a", "--backend", "b"],
    ],
)
def test_an_option_that_takes_one_value_is_given_once(arguments: list[str]) -> None:
    """The last one never wins in silence."""
    done = CliRunner().invoke(build_app(), arguments)
    assert done.exit_code == 2
    assert f"{arguments[2 if arguments[0] != 'usage' else 1]} is given 2 times" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "m.txt", "--limit", "0"], "0 is not from 1 to 1,000,000,000"),
        (["run", "m.txt", "--budget", "nan"], "from 0 to 1,000,000,000"),
        (["plan", "m.txt", "--budget", "-1"], "-1.0 is not from 0"),
        (["run", "m.txt", "--concurrency", "10001"], "from 1 to 10,000"),
    ],
)
def test_numbers_out_of_bounds_are_refused_in_words(arguments: list[str], said: str) -> None:
    """Also what is no number at all."""
    done = CliRunner().invoke(build_app(), arguments)
    assert done.exit_code == 2
    assert said in done.output
