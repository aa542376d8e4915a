"""Runs that need no Prefect server, and one whose server forgets it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tasks.runs.direct import run_directly
from tasks.runs.request import RunRequest
from tests.flows.conftest import Cli

FORGET = """
from uuid import UUID
import tasks.runs.run as runs
conclude = runs.conclude_run

async def forget_and_conclude(*arguments):
    from prefect import get_client
    from prefect.runtime import flow_run
    async with get_client() as client:
        await client.delete_flow_run(UUID(flow_run.id))
    return await conclude(*arguments)

runs.conclude_run = forget_and_conclude
"""
"""Deletes the flow run, as somebody does in Prefect's pages, just before the run comes to its end."""


def test_a_finished_batch_needs_no_server(offline: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` and `resume` of a batch that has everything succeed where no Prefect server answers."""
    monkeypatch.chdir(offline.folder)
    offline.manifest(3)
    asyncio.run(run_directly(RunRequest(manifest="m.jsonl", out="out")))
    for command in (("run", "m.jsonl", "--out", "out"), ("resume", "out")):
        record = offline.json(*command)
        assert (record["images"], record["planned"], record["outcome"]) == (3, 0, "completed")


def test_a_batch_over_its_budget_needs_no_server(offline: Cli) -> None:
    """The plan's estimate stops it before the first job, and it can be resumed with a higher budget."""
    offline.config(price_usd=1)
    offline.manifest(3)
    record = offline.json("run", "m.jsonl", "--out", "out", "--budget", "2.5", status=3)
    assert (record["images"], record["planned"], record["cost_usd"]) == (0, 3, 0)
    assert "budget" in record["outcome"]


def test_a_batch_with_work_left_names_the_server_that_it_needs(offline: Cli) -> None:
    """The setting and the address are in the message; the plan is kept."""
    offline.manifest(3)
    done = offline.run("run", "m.jsonl", "--out", "out")
    assert done.returncode != 0
    assert ["PREFECT_API_URL" in done.stderr, offline.environ["PREFECT_API_URL"] in done.stderr] == [True, True]
    assert not list(Path(offline.folder).glob("out/images/*/*"))


@pytest.mark.server
def test_a_run_that_is_deleted_in_prefect_ends_as_its_batch_did(cli: Cli) -> None:
    """Exit status and summary are the batch's, and a warning says that Prefect does not have it."""
    cli.before = FORGET
    done = cli.run("run", cli.manifest(2), "--out", "out", "--json")
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "completed"), done.stderr
    assert "Prefect's pages do not show how this run ended" in done.stderr
    assert "404 Not Found" in done.stderr
    cli.before = ""
    assert cli.json("status", "out")["outcome"] == "completed"
