"""Real processes against the images API, killed: nothing is made twice, and what is lost is said to be."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.flows.conftest import Cli
from tests.flows.kills.test_killed import IN_FLIGHT, wait_until
from tests.support.fakes import openai_batches
from tests.support.fakes.openai_batches import OpenAIBatches
from tests.support.fakes.serving import serving
from tests.support.waiting import PATIENCE_S


def configure(cli: Cli, provider: OpenAIBatches, **changes: Any) -> None:
    """One instance that talks to the service, and its key."""
    instance = openai_batches.instance(provider.url, default_size="1024x1024", **changes)
    (cli.folder / "imagen.yaml").write_text(json.dumps({"default_backend": "api", "backends": {"api": instance}}))
    rows = ({"prompt": f"picture {number}"} for number in range(12))
    (cli.folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cli.environ["OPENAI_API_KEY"] = provider.key


async def killed(cli: Cli, query: str) -> None:
    """Run and kill with SIGKILL as soon as the ledger shows something."""
    process = cli.start("run", "m.jsonl", "--out", "out", "--quiet")
    await asyncio.to_thread(wait_until, cli.folder / "out", query, process)
    process.kill()
    await asyncio.to_thread(process.communicate, None, PATIENCE_S)


@pytest.mark.soak
@pytest.mark.server
async def test_batches_outlive_the_run_that_sent_them(cli: Cli) -> None:
    """The next run collects them: every picture is there, and each was made once."""
    provider = OpenAIBatches(looks=10**6)
    cli.before = "from tasks.backends.client.batches import desk; desk.LOOKUP_PATIENCE_S = 2.0"
    async with serving(provider):
        configure(cli, provider, batch_jobs=6)
        await killed(cli, IN_FLIGHT)
        for batch in provider.batches.values():
            batch["looks"] = 0
        provider.looks = 1
        done = await asyncio.to_thread(cli.json, "resume", "out")
    assert (done["succeeded"], done["held"]) == (12, 0)
    assert len(provider.created) == 12


@pytest.mark.soak
@pytest.mark.server
async def test_calls_that_a_kill_cuts_off_are_held(cli: Cli) -> None:
    """Those under way are nobody's to know; all others are made, and none is made twice."""
    provider = OpenAIBatches(latency_s=1.0)
    async with serving(provider):
        configure(cli, provider, mode="sync", concurrency=4)
        await killed(cli, "SELECT 1 FROM jobs WHERE state = 'submitting' LIMIT 1")
        provider.latency_s = 0.0
        done = await asyncio.to_thread(cli.json, "resume", "out", status=1)
    assert 1 <= done["held"] <= 4
    assert done["succeeded"] + done["held"] == 12
    prompts = [made["prompt"] for made in provider.created]
    assert len(prompts) == len(set(prompts))


def test_a_size_that_the_model_does_not_take_is_said_before_anything_is_sent(offline: Cli) -> None:
    """With file, line and input; exit status 2."""
    config = {"api": {"type": "openai", "model": "gpt-image-1.5", "api_base": "http://127.0.0.1:1/v1"}}
    (offline.folder / "imagen.yaml").write_text(json.dumps({"default_backend": "api", "backends": config}))
    (offline.folder / "m.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "width": 512, "height": 512}\n')
    offline.environ["OPENAI_API_KEY"] = "sk-test"
    done = offline.run("run", "m.jsonl")
    assert done.returncode == 2
    assert "m.jsonl:2: size: 512x512 is none of its sizes" in done.stderr
