"""LiteLLM's proxy, which many put before their providers: a real one, before a stand-in of OpenAI's API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.core.clock import Clock
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.fakes.backends import EVERYTHING, batch_at, generate, make_instance_job
from tests.support.fakes.openai_images import INPUT_TOKENS, OUTPUT_TOKENS, OpenAIImages
from tests.support.fakes.serving import serving
from tests.support.services.asking import answers
from tests.support.services.package_environment import install_packages
from tests.support.services.processes import free_port, service_environ

pytestmark = pytest.mark.soak  # installs the proxy, once, and its start takes half a minute
START_S = 300
KEY = "sk-of-the-proxy"
HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 100))


@dataclass
class Proxy:
    """The proxy and the service behind it."""

    url: str
    provider: OpenAIImages

    def instance(self) -> dict[str, Any]:
        """An instance as a user of the proxy writes it."""
        return {
            "type": "openai",
            "model": "gpt-image-1.5",
            "quality": "low",
            "api_base": f"{self.url}/v1",
            "api_key_env": "PROXY_KEY",
            "max_attempts": 1,
        }


@pytest.fixture
async def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy with a master key and no database, as its quick start has it."""
    python = await asyncio.to_thread(install_packages, "litellm[proxy]==1.108.7")
    provider, port = OpenAIImages(), free_port()
    monkeypatch.setenv("PROXY_KEY", KEY)
    async with serving(provider) as url:
        model = {"model": "openai/gpt-image-1.5", "api_base": f"{url}/v1", "api_key": provider.key}
        settings = {
            "model_list": [{"model_name": "gpt-image-1.5", "litellm_params": model}],
            "general_settings": {"master_key": KEY},
            "litellm_settings": {"num_retries": 0},
        }
        (tmp_path / "proxy.yaml").write_text(json.dumps(settings))
        command = [str(python.parent / "litellm"), "--config", str(tmp_path / "proxy.yaml"), "--host", "127.0.0.1"]
        with (tmp_path / "proxy.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                *("--port", str(port)),
                cwd=tmp_path,
                # Prices from its own package: nothing is fetched.
                env={**service_environ(), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(tmp_path)},
                stdout=log,
                stderr=log,
            )
        try:
            await asyncio.wait_for(wait_until_ready(process, f"http://127.0.0.1:{port}", tmp_path), START_S)
            yield Proxy(f"http://127.0.0.1:{port}", provider)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def wait_until_ready(process: asyncio.subprocess.Process, url: str, folder: Path) -> None:
    """Return when it answers."""
    while (answer := await asyncio.to_thread(answers, f"{url}/health/liveliness")) is None or not answer.is_success:
        assert process.returncode is None, (folder / "proxy.log").read_text()[-2000:]
        await asyncio.sleep(0.2)


async def stop_reason(out: Path, instance: dict[str, Any]) -> str | None:
    """Why a batch of one job stopped; its job is open then."""
    async with batch_at(out, instance, [make_instance_job(instance)], clock=HASTY) as batch:
        await generate_range(batch, *EVERYTHING)
        counts = await count_jobs(batch.engine)
        assert (counts.failed, counts.held) == (0, 0)
        return None if batch.stop.cause is None else batch.stop.cause.reason


async def test_what_the_proxy_says_is_understood(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own cost is the image's; a refused prompt, an empty account and a wrong key are told apart through it."""
    instance = proxy.instance()
    folders = [tmp_path / name for name in ("image", "refused", "empty", "key")]
    for folder in folders:
        folder.mkdir()
    counts = await generate(folders[0], instance, [make_instance_job(instance)], clock=HASTY)
    # Text in at 5 dollars a million, the image at 32.
    assert (counts.succeeded, counts.cost_micros) == (1, INPUT_TOKENS * 5 + OUTPUT_TOKENS * 32)
    proxy.provider.break_("moderation_prompt", 1)
    counts = await generate(folders[1], instance, [make_instance_job(instance)], clock=HASTY)
    assert dict(counts.errors) == {"moderation": 1}
    proxy.provider.break_("insufficient_quota")
    assert await stop_reason(folders[2], instance) == "credit"
    monkeypatch.setenv("PROXY_KEY", "sk-wrong")
    assert await stop_reason(folders[3], instance) == "token"
