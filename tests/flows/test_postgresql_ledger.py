"""The command line with a ledger on PostgreSQL: killed and resumed from the folder alone, read, pushed, refused."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.core.database import hide_password
from tests.flows.conftest import Cli
from tests.flows.test_run import list_images, read_rows
from tests.support.services.postgresql import PASSWORD, Postgresql
from tests.support.services.processes import free_port
from tests.support.waiting import PATIENCE_S, eventually


def use(cli: Cli, url: str, **backend: Any) -> None:
    """A configuration with this ledger."""
    settings = {"backends": {"sketch": {"type": "sketch", **backend}}, "ledger": url}
    (cli.folder / "imagen.yaml").write_text(json.dumps(settings))


def read_schema(folder: Path) -> str:
    """The schema that a folder's pointer names."""
    return str(json.loads((folder / "ledger.json").read_text())["schema"])


def wait_for(server: Postgresql, folder: Path, state: str) -> None:
    """Wait until a job of the folder's batch is in this state."""

    def is_there() -> bool:
        query = f"SELECT 1 FROM {read_schema(folder)}.jobs WHERE state = '{state}' LIMIT 1"
        return bool(asyncio.run(server.fetch(query)))

    eventually(lambda: (folder / "ledger.json").exists() and is_there())


@pytest.mark.soak
@pytest.mark.server
def test_killed_and_resumed_from_the_folder_alone(cli: Cli, postgresql: Postgresql) -> None:
    """Every job has one picture; status, plan and push find the ledger; the password is nowhere on disk or screen."""
    use(cli, postgresql.url(), latency_s=4, concurrency=2)
    process = cli.start("run", cli.manifest(30), "--out", "out", "--quiet")
    out = cli.folder / "out"
    wait_for(postgresql, out, "succeeded")
    second = cli.run("run", "m.jsonl", "--out", "out", "--quiet")
    assert (second.returncode, f"process {process.pid}" in second.stderr) == (2, True)
    process.kill()
    process.communicate()
    (cli.folder / "imagen.yaml").unlink()

    cli.environ["PGPASSWORD"] = PASSWORD
    before = cli.json("status", "out")
    assert (before["outcome"], 0 < before["succeeded"] < 30) == ("killed", True)
    done = cli.json("resume", "out", "--concurrency", "30")
    assert (done["succeeded"], done["generated"]) == (30, 30 - before["succeeded"])
    assert {row["file_name"] for row in read_rows(out)} == list_images(out)
    assert len(list_images(out)) == 30
    assert cli.json("plan", "m.jsonl", "--out", "out")["to_do"] == 0
    assert cli.json("usage", "push", "out")[0]["pushed"] == 30

    kept = asyncio.run(postgresql.fetch(f"SELECT settings FROM {read_schema(out)}.runs"))
    assert len(kept) == 2
    texts = [second.stdout + second.stderr, *(row[0] for row in kept)]
    texts += [path.read_text(errors="replace") for path in out.rglob("*") if path.is_file()]
    assert not [text for text in texts if PASSWORD in text]
    assert not (out / "ledger.db").exists()


@pytest.mark.soak  # two runs around a restart; tests of the ledger hold the same without a run
@pytest.mark.server
def test_a_restart_in_the_middle_of_a_run(cli: Cli, postgresql: Postgresql) -> None:
    """The run waits for its ledger and ends as if nothing had been."""
    use(cli, postgresql.url(), latency_s=0.2, concurrency=4)
    process = cli.start("run", cli.manifest(60), "--out", "out", "--json")
    wait_for(postgresql, cli.folder / "out", "succeeded")
    postgresql.stop()
    time.sleep(2)
    postgresql.start()
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    record = json.loads(stdout)
    assert (record["succeeded"], record["outcome"]) == (60, "completed")


def test_a_server_that_is_not_there_is_bad_configuration(offline: Cli) -> None:
    """Learnt before Prefect starts: exit status 2, one line, no password, and no pointer to nowhere."""
    port = free_port()
    use(offline, f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/imagen")
    done = offline.run("run", offline.manifest(2), "--out", "out")
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("imagen:")]
    assert f"ledger: PostgreSQL at postgresql://me@127.0.0.1:{port}/imagen cannot be reached" in line
    assert PASSWORD not in done.stderr + done.stdout
    assert not (offline.folder / "out/ledger.json").exists()


def test_a_status_without_the_password_says_what_is_missing(offline: Cli, postgresql: Postgresql) -> None:
    """Exit status 2 and where the password is looked for."""
    (offline.folder / "ledger.json").write_text(
        json.dumps({"url": hide_password(postgresql.url()), "schema": "imagen_x"})
    )
    done = offline.run("status", ".")
    assert done.returncode == 2
    assert "PGPASSWORD or ~/.pgpass" in done.stderr
