"""A workflow on ComfyUI servers through the command line: checked, killed, resumed, edited."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import Cli
from tests.flows.kills.test_killed import IN_FLIGHT, wait_until
from tests.support.fakes import comfyui
from tests.support.fakes.comfyui import WORKFLOW, ComfyUI
from tests.support.fakes.serving import serving
from tests.support.waiting import PATIENCE_S


def configure(cli: Cli, *urls: str, workflow: Any = WORKFLOW, **changes: Any) -> None:
    """One instance, whose workflow is a file beside the configuration."""
    (cli.folder / "flux.json").write_text(json.dumps(workflow))
    instance = {**comfyui.instance(*urls, workflow="flux.json", **changes)}
    del instance["model"]
    (cli.folder / "imagen.yaml").write_text(json.dumps({"default_backend": "comfy", "backends": {"comfy": instance}}))


@pytest.mark.soak  # three whole runs; the backend's tests hold the look-up
@pytest.mark.server
async def test_a_killed_run_goes_on_and_an_edited_workflow_makes_new_images(cli: Cli) -> None:
    """Each row is sent once over a kill; the model's name holds a digest of the workflow."""
    provider = ComfyUI(looks_to_end=10**6)
    async with serving(provider) as url:
        configure(cli, url)
        process = cli.start("run", cli.manifest(6), "--out", "out", "--quiet")
        await asyncio.to_thread(wait_until, cli.folder / "out", IN_FLIGHT, process)
        process.kill()
        await asyncio.to_thread(process.communicate, None, PATIENCE_S)
        provider.looks_to_end = 1
        provider.looks = dict.fromkeys(provider.looks, 1)
        (cli.folder / "flux.json").unlink()
        done = await asyncio.to_thread(cli.json, "resume", "out")
        assert (done["succeeded"], done["cost_usd"]) == (6, 0)
        assert len(provider.created) == 6
        configure(
            cli, url, workflow={**WORKFLOW, "3": {**WORKFLOW["3"], "inputs": {**WORKFLOW["3"]["inputs"], "cfg": 1.0}}}
        )
        plan = await asyncio.to_thread(cli.json, "plan", cli.manifest(6), "--out", "out", "--replace")
    assert (plan["done"], plan["to_do"]) == (0, 6)
    (model,) = {row["model"] for row in pq.read_table(cli.folder / "out" / "metadata.parquet").to_pylist()}
    assert model.startswith("flux:")


@pytest.mark.parametrize(
    ("workflow", "words"),
    [
        ({"nodes": [], "links": []}, "export it with Workflow > Export (API)"),
        ([], "is no workflow"),
        ({}, "has no nodes"),
    ],
)
def test_a_file_that_is_no_workflow_is_said_where_it_is_used(offline: Cli, workflow: Any, words: str) -> None:
    """With the setting and what to do; a command that does not need it goes on."""
    configure(offline, "http://127.0.0.1:1", workflow=workflow)
    done = offline.run("plan", offline.manifest(1))
    assert (done.returncode, words in done.stderr, "backends.comfy: workflow: " in done.stderr) == (2, True, True), (
        done.stderr
    )
    assert offline.run("plan", offline.manifest(1), "--backend", "comfy").returncode == 2
    assert offline.run("usage").returncode == 0


def test_a_missing_workflow_file_is_named(offline: Cli) -> None:
    """As the configuration writes it."""
    configure(offline, "http://127.0.0.1:1")
    (offline.folder / "flux.json").unlink()
    done = offline.run("plan", offline.manifest(1))
    assert (done.returncode, "flux.json: No such file" in done.stderr) == (2, True), done.stderr


def test_a_plan_refuses_what_the_workflow_has_no_place_for(offline: Cli) -> None:
    """As the run would; no server is asked for it, and none runs here."""
    configure(offline, "http://127.0.0.1:1")
    (offline.folder / "m.csv").write_text("prompt,negative_prompt\na fox,rain\n")
    done = offline.run("plan", "m.csv")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "m.csv:2: negative_prompt: the workflow has no place for it" in done.stderr
