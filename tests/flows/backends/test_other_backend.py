"""What one backend cannot serve goes to another: by the manifest, by the configuration, or by a resume."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import Cli

pytestmark = pytest.mark.server

STRICT = {"type": "sketch", "model": "strict", "moderation_rate": 1.0, "price_usd": 0.01}
LENIENT = {"type": "sketch", "model": "lenient", "price_usd": 0.02}


def configure(cli: Cli, default: str | list[str]) -> None:
    """Two services, of which the first refuses everything."""
    config = {"default_backend": default, "backends": {"strict": STRICT, "lenient": LENIENT}}
    (cli.folder / "imagen.yaml").write_text(json.dumps(config))


def test_refused_rows_go_to_the_fallback_and_cost_what_it_costs(cli: Cli) -> None:
    """Every picture is there; the table says who made it and who was asked first, the summary how many."""
    configure(cli, ["strict", "lenient"])
    summary = cli.json("run", cli.manifest(3), "--out", "out", "--budget", "1")
    assert (summary["succeeded"], summary["rerouted"], summary["errors"]) == (3, 3, {})
    assert summary["cost_usd"] == pytest.approx(0.06)
    rows = pq.read_table(cli.folder / "out" / "metadata.parquet").to_pylist()
    assert {(row["backend"], row["rerouted_from"], row["model"], row["attempts"]) for row in rows} == {
        ("lenient", "strict", "lenient", 2)
    }
    again = cli.json("run", cli.manifest(3), "--out", "out", "--budget", "1")
    assert (again["generated"], again["rerouted"]) == (0, 3)


def test_a_resume_sends_what_failed_to_another_backend(cli: Cli) -> None:
    """Only the error kind that is named; what is not named, or not there, is said and nothing is sent."""
    configure(cli, "strict")
    assert cli.json("run", cli.manifest(2), "--out", "out", status=1)["errors"] == {"moderation": 2}
    for only, words in {"timeout": "no job ended as timeout", "failed,x": "--only takes failed, held"}.items():
        refused = cli.run("resume", "out", "--only", only)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr
    unknown = cli.run("resume", "out", "--only", "moderation", "--backend", "nobody")
    assert (unknown.returncode, "'nobody' is not configured" in unknown.stderr) == (2, True), unknown.stderr
    summary = cli.json("resume", "out", "--only", "moderation", "--backend", "lenient")
    assert (summary["succeeded"], summary["rerouted"]) == (2, 2)
    assert "2 taken over by another backend than the first" in cli.run("status", "out").stdout
