"""docs/spreadsheet.md: a new user's way from a spreadsheet to a gallery, led by nothing but what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.flows.conftest import Cli
from tests.tasks.manifest.test_foreign_files import build_spreadsheet

ROWS = [
    "Herbstkampagne;;;",
    "Titel;Prompt;Num Images;quality",
    "1;Ein M\u00e4dchen, das liest;2;hd",
    "2;Ein Reh, Stra\u00dfe im Nebel;;hd",
]
FILES = {
    "prompts.xlsx": build_spreadsheet({"Notizen": [["f\u00fcr uns"]], "Plan": [row.split(";") for row in ROWS]}),
    "prompts.csv": "".join(f"{row}\r\n" for row in ROWS).encode("cp1252"),
}


def follow(cli: Cli, printed: str, before: str) -> str:
    """Run the command that was printed behind these words; gives what it prints."""
    [command] = re.findall(rf"^{before}: imagen (.*)$", printed, re.MULTILINE)
    done = cli.run(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.server
@pytest.mark.parametrize("name", ["prompts.xlsx", pytest.param("prompts.csv", marks=pytest.mark.soak)])  # one journey
def test_messages_lead_from_a_spreadsheet_to_a_gallery(cli: Cli, name: str) -> None:
    """From a fresh folder each command is read off what the one before it printed, and the last one opens a page."""
    (cli.folder / name).write_bytes(FILES[name])
    asked = cli.run("plan", name)
    assert asked.returncode == 2
    [option] = re.findall(r"leave it out with (--ignore-columns \S+?),", asked.stderr)
    planned = cli.run("plan", name, *option.split())
    assert planned.returncode == 0, planned.stderr
    assert "2 rows, 3 images" in planned.stdout
    assert "named on line 2" in planned.stdout
    made = follow(cli, planned.stdout, "to make them")
    shown = follow(cli, made, "to look through them")
    [page] = re.findall(r"^open it: (.*)$", shown, re.MULTILINE)
    assert Path(cli.folder, page).is_file()
    out = str(Path(page).parent)
    assert cli.run("export", out, "--format", "csv", "--to", "done.csv").returncode == 0
    table = (cli.folder / "done.csv").read_text(encoding="utf-8")
    assert (table.count("Ein M\u00e4dchen, das liest"), table.count("Ein Reh, Stra\u00dfe im Nebel")) == (2, 1)
