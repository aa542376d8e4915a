"""`imagen backends --check`: a service is asked for nothing where it can be, and paid only after a yes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.server import run_simulator
from tasks.backends.replicate_simulator.settings import Settings
from tests.flows.conftest import Cli
from tests.support.fakes.json_api import JsonApi, at_once
from tests.support.fakes.serving import Provider, serving


class ModelPages(Provider):
    """An images API that has model pages."""

    def app(self) -> web.Application:
        """Its one route."""
        app = web.Application()
        app.router.add_get("/v1/models/{model}", self.show)
        return app

    async def show(self, request: web.Request) -> web.Response:
        """`GET /v1/models/{model}`."""
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"message": "Incorrect API key provided"}}, status=401)
        model = request.match_info["model"]
        return web.json_response({"id": model} if model == "gpt-image-1.5" else {}, status=200)


def configure(cli: Cli, **instance: Any) -> None:
    """One instance called `api`."""
    (cli.folder / "imagen.yaml").write_text(json.dumps({"default_backend": "api", "backends": {"api": instance}}))


async def test_openai_is_asked_for_the_model_page(offline: Cli) -> None:
    """A good key is told, a bad one is an error; no image is made."""
    async with serving(pages := ModelPages()) as url:
        configure(offline, type="openai", model="gpt-image-1.5", api_base=f"{url}/v1")
        offline.environ["OPENAI_API_KEY"] = pages.key
        done = await asyncio.to_thread(offline.run, "backends", "--check", "api")
        assert (done.returncode, "the key is accepted" in done.stdout) == (0, True), done.stderr
        offline.environ["OPENAI_API_KEY"] = "sk-wrong"
        done = await asyncio.to_thread(offline.run, "backends", "--check", "api")
    assert (done.returncode, "does not accept the key in OPENAI_API_KEY" in done.stderr) == (2, True)
    assert "sk-wrong" not in done.stderr
    assert not (offline.folder / "runs").exists()


async def test_replicate_is_asked_for_the_model(offline: Cli) -> None:
    """The token is tried, and nothing is created."""
    async with run_simulator(Settings()) as simulator:
        configure(offline, type="replicate", model="black-forest-labs/flux-schnell", api_base=simulator.url)
        offline.environ["REPLICATE_API_TOKEN"] = "r8_any"
        done = await asyncio.to_thread(offline.json, "backends", "--check", "api")
        assert (done["works"], done["cost_usd"]) == (True, 0)
        assert simulator.truth().created == 0


async def test_an_image_is_paid_for_only_after_a_yes(offline: Cli) -> None:
    """Without a terminal to ask on it takes --yes; then the image is there, with its cost."""
    provider = JsonApi()
    async with serving(provider) as url:
        configure(offline, **{**at_once(url, "base64"), "price_usd": 0.02})
        offline.environ["ANY_KEY"] = provider.key
        refused = await asyncio.to_thread(offline.run, "backends", "--check", "api")
        assert (refused.returncode, "$0.02" in refused.stderr, "--yes" in refused.stderr) == (2, True, True), (
            refused.stderr
        )
        assert not provider.created
        done = await asyncio.to_thread(offline.json, "backends", "--check", "api", "--yes")
        assert (done["works"], done["cost_usd"]) == (True, 0.02)
        provider.break_("unauthorized", 1)
        stopped = await asyncio.to_thread(offline.run, "backends", "--check", "api", "--yes")
    # A stopped batch leaves no failed job, and the reason is told all the same.
    assert (stopped.returncode, "does not accept the token in ANY_KEY" in stopped.stderr) == (3, True), stopped.stderr
    assert len(provider.created) == 1
    assert len(list(Path(offline.folder, "runs", "checks").iterdir())) >= 1


def test_a_free_backend_makes_an_image_at_once(offline: Cli) -> None:
    """And a backend that is not there is an error."""
    done = offline.run("backends", "--check", "sketch")
    assert (done.returncode, "sketch works: " in done.stdout) == (0, True), done.stderr
    assert offline.run("backends", "--check", "nobody").returncode == 2
