"""A batch folder that somebody else made: a resume uses nothing that it names before the user says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows.conftest import Cli

pytestmark = pytest.mark.server


def test_a_strangers_ledger_reaches_nothing(cli: Cli, tmp_path: Path) -> None:
    """Its usage file is refused by name, reading it is fine, and --trust-ledger, once, lets it be used."""
    elsewhere = tmp_path / "elsewhere.db"
    stranger = Cli(cli.folder, {**cli.environ, "HOME": str(tmp_path / "stranger")})
    config = {"backends": {"sketch": {"type": "sketch"}}, "usage": {"path": str(elsewhere)}}
    (cli.folder / "imagen.yaml").write_text(json.dumps(config))
    assert stranger.run("run", cli.manifest(2), "--out", "out", "--quiet").returncode == 0
    (cli.folder / "imagen.yaml").unlink()
    elsewhere.unlink()
    refused, pushed = cli.run("resume", "out"), cli.run("usage", "push", "out")
    assert refused.returncode == 2
    assert f"usage.path: {elsewhere}" in refused.stderr
    assert "--trust-ledger" in refused.stderr
    assert "usage.path" in pushed.stdout + pushed.stderr
    assert cli.json("status", "out")["succeeded"] == 2
    assert not elsewhere.exists()
    assert cli.run("resume", "out", "--trust-ledger", "--quiet").returncode == 0
