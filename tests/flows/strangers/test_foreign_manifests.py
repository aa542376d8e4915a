"""Other people's manifests through the command line: what is asked, what is told, and what the result repeats."""

from __future__ import annotations

import json

import pytest

from tests.flows.conftest import Cli
from tests.tasks.manifest.test_foreign_files import build_spreadsheet

TABLE = "Prompt;Num Images;mood;quality\na fox;2;calm;hd\nan owl;;;hd\n"


def test_a_plan_asks_before_it_counts(offline: Cli) -> None:
    """Another tool's setting is asked about with exit code 2; left out, the plan lists it as such."""
    (offline.folder / "m.csv").write_text(TABLE)
    asked = offline.run("plan", "m.csv")
    assert (asked.returncode, "--ignore-columns quality" in asked.stderr) == (2, True)
    done = offline.run("plan", "m.csv", "--ignore-columns", "quality", "--json")
    columns = json.loads(done.stdout)["columns"]
    assert columns["used"] == {"Prompt": "prompt", "Num Images": "samples"}
    assert (columns["carried"], list(columns["ignored"])) == (["mood"], ["quality"])


def test_prices_are_checked_for_a_manifest(offline: Cli) -> None:
    """Exit code 0 where every model has a price, 2 where one has none."""
    (offline.folder / "m.csv").write_text("prompt,backend\na,\n")
    assert offline.run("prices", "--check", "m.csv").returncode == 0
    (offline.folder / "imagen.yaml").write_text(
        "default_backend: own\nbackends: {own: {type: openai, model: my-model, api_key_env: null}}\n"
    )
    done = offline.run("prices", "--check", "m.csv", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["priced"]) == (2, False)


@pytest.mark.server
@pytest.mark.parametrize("source", ["-", "m.xlsx"])
def test_a_run_tells_how_it_read_the_manifest(cli: Cli, source: str) -> None:
    """The columns stand on the screen before anything is made, and in the JSON after; a pipe is read like a file."""
    rows = [line.split(";") for line in TABLE.splitlines()]
    (cli.folder / "m.xlsx").write_bytes(build_spreadsheet({"Plan": rows}))
    options = ("--ignore-columns", "Quality", "--out", "o", "--json")
    done = cli.run("run", source, *options, stdin=TABLE if source == "-" else None)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["succeeded"] == 3
    assert result["columns"]["used"]["Num Images"] == "samples"
    assert "Num Images as samples" in done.stderr
    assert "left out: quality" in done.stderr


def test_every_command_that_reads_a_manifest_takes_the_same_options(offline: Cli) -> None:
    """What makes a manifest readable for a plan makes it readable for a run and for a check of prices."""
    offline.folder.joinpath("m.csv").write_bytes("Titel;Szene;quality\n1;Füchse;hd\n".encode("cp1252"))
    reading = ("--ignore-columns", "quality", "--prompt-column", "Szene", "--encoding", "cp1252")
    assert offline.run("plan", "m.csv", *reading).returncode == 0
    assert offline.run("prices", "--check", "m.csv", *reading).returncode == 0
    for command in (("plan", "m.csv"), ("prices", "--check", "m.csv"), ("run", "m.csv")):
        refused = offline.run(*command, "--encoding", "nothing")
        assert (refused.returncode, "no encoding 'nothing'" in refused.stderr) == (2, True), command
