"""The README and the pages under docs/ say what the code does, and the code does what they say."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from flows.cli import build_app
from tasks.core.errors import BatchStopped, ImagenError, InputError, Interrupted
from tasks.core.records import Counts
from tasks.manifest.row_model import ManifestRow
from tasks.metadata.columns import COLUMNS
from tasks.report.summary import Summary
from tasks.store.output.folder import OutputFolder

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
REFERENCE = PAGES["docs/reference.md"]
EVERYTHING = "\n".join(PAGES.values())
OTHERS = re.compile(
    r"\b(aws|uv|pipx|sudo|prefect|dask|ray|pip|rclone|moto_server|psql|createdb|createuser|systemctl|hf|docker|npm|apt-get) |"
    r"as Midjourney|that the options name"
)
"""Lines that call other programs, or show prompts of other programs, with options of their own."""
UNDOCUMENTED = {"--help", "--version", "--install-completion", "--show-completion"}


def table(header: str) -> list[list[str]]:
    """The cells of the reference's table that begins with this column."""
    after = REFERENCE.split(f"| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in after]


@cache
def commands() -> dict[str, Any]:
    """Each command by its name, those of a group by both: `usage`, `usage push`."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(build_app()).commands.items():  # type: ignore[attr-defined]  # it is a group
        found[name] = command
        found |= {f"{name} {below}": of_group for below, of_group in getattr(command, "commands", {}).items()}
    return found


def options() -> dict[str, set[str]]:
    """Each long option and the commands that take it."""
    found: dict[str, set[str]] = {}
    for name, command in commands().items():
        for parameter in command.params:
            for spelling in parameter.opts:
                if spelling.startswith("--"):
                    found.setdefault(spelling, set()).add(name)
    return found


def named(text: str) -> str:
    """The command that a text like `imagen usage push DIR` names."""
    words = re.findall(r"[a-z]+", text.split("`imagen ", 1)[1].split("`", 1)[0].split(" --", 1)[0])
    pair = " ".join(words[:2])
    return pair if pair in commands() else words[0]


def test_every_command_is_documented_and_exists() -> None:
    """The table of commands is the program's, the commands of a group among them."""
    assert [named(row[0]) for row in table("command")] == list(dict.fromkeys(named(row[0]) for row in table("command")))
    assert {named(row[0]) for row in table("command")} == set(commands())
    assert {named(mention) for mention in re.findall(r"`imagen [a-z][^`]*`", EVERYTHING)} <= set(commands())


def test_every_option_is_documented_with_its_commands() -> None:
    """The table of options names each option and the commands that take it, and no other."""
    actual = {name: owners for name, owners in options().items() if name not in UNDOCUMENTED}
    documented = {}
    for name, owners, _ in table("option"):
        listed = set(re.split(r", | and ", owners.removeprefix("all but ")))
        key = re.match(r"`(--[\w-]+)`", name)
        assert key is not None
        documented[key[1]] = set(commands()) - listed if owners.startswith("all but ") else listed
    assert documented == actual


def test_options_in_examples_exist() -> None:
    """Whatever looks like an option of ours on any page is one."""
    ours = [line for line in EVERYTHING.splitlines() if not OTHERS.search(line)]
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", "\n".join(ours))) <= options().keys() | UNDOCUMENTED


def test_the_columns_are_those_of_the_table() -> None:
    """Names, types and descriptions, in order."""
    assert [[f"`{c.name}`", str(c.type), c.description] for c in COLUMNS] == table("column")


def test_the_exit_statuses_are_those_of_the_errors() -> None:
    """Each documented one is some error's or an end's, and each error's is documented."""
    documented = {int(row[0]) for row in table("exit status")}
    assert documented == {
        0,
        1,
        ImagenError.exit_code,
        InputError.exit_code,
        BatchStopped.exit_code,
        Interrupted.exit_code,
    }


def test_the_keys_of_the_summary_are_documented(tmp_path: Path) -> None:
    """The JSON of a run has exactly the keys that the reference names."""
    summary = Summary(
        out=OutputFolder(tmp_path),
        counts=Counts(),
        run=None,
        alive=False,
        wall_s=0,
        generated=None,
        usage_pushed=0,
        usage_pending=0,
        last_activity_us=None,
    )
    assert [row[0].strip("`") for row in table("key")] == list(summary.as_dict())


def test_the_columns_of_a_row_are_documented() -> None:
    """The page's list of manifest columns is the row model's."""
    listed = PAGES["docs/run.md"].split("Rows hold", 1)[1].split("Every other column", 1)[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(ManifestRow.model_fields)


@pytest.mark.parametrize(
    ("page", "link"),
    [(page, link) for page, text in PAGES.items() for link in sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", text)))],
)
def test_links_lead_somewhere(page: str, link: str) -> None:
    """Every file that a page links or shows is there."""
    assert ((ROOT / page).parent / link).exists()


def sentences(text: str) -> list[str]:
    """The sentences of a page, without its code blocks, tables and headings."""
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    blocks = re.split(r"\n\s*\n|\n(?= *(?:[-*]|\d+\.|#|\|) )", prose)
    kept = [" ".join(block.split()) for block in blocks if not block.lstrip().startswith(("|", "#", "!["))]
    return [sentence for block in kept for sentence in re.split(r"(?<=[.!?])\**\s+", block)]


@pytest.mark.parametrize("page", PAGES)
def test_sentences_are_short(page: str) -> None:
    """Nobody reads a sentence of more than 30 words twice."""
    assert [sentence for sentence in sentences(PAGES[page]) if len(sentence.split()) > 30] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_every_page_can_be_reached_from_the_readme(page: str) -> None:
    """A page that nobody links is not read."""
    assert f"]({page})" in PAGES["README.md"]


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:tasks|flows)/[\w/.]+)`", EVERYTHING + (ROOT / "CONTRIBUTING.md").read_text())))
)
def test_modules_that_the_documents_name_exist(path: str) -> None:
    """A module that moves takes its mention along."""
    assert (ROOT / path).exists()


def test_the_two_commands_of_the_start_are_an_environment_and_its_activation() -> None:
    """What they make and activate is one environment, and the first one says where `imagen` is in it."""
    make, activate = re.findall(r"^```\n(.*?)^```", PAGES["README.md"], re.DOTALL | re.MULTILINE)[0].splitlines()
    target = make.partition("#")[0].split()[1:]
    folder = activate.partition("#")[0].strip().removeprefix(". ").removesuffix("/bin/activate")
    planned = subprocess.run(["make", "--dry-run", *target], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{ROOT}/{folder}/bin/imagen" in planned.stdout
