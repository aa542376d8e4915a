"""A company's proxy is used by every kind of service, by schema fetches and by the sink; one that lets nothing through costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.client.pages import NO_PAGE, fetch_page
from tasks.backends.replicate_simulator.server import run_simulator
from tasks.core.clock import Clock
from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import BatchStopped, UsageRefused
from tasks.core.retry import retry_usage
from tasks.generate.batch import Batch
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tasks.manifest.remote import fetch
from tasks.usage.sinks.supabase import open_supabase
from tests.support.fakes import comfyui, fal_queue, gemini_batches, json_api, openai_batches
from tests.support.fakes.backends import EVERYTHING, batch_at, generate, make_instance_job
from tests.support.fakes.comfyui import ComfyUI
from tests.support.fakes.fal_queue import FalQueue
from tests.support.fakes.gemini_batches import GeminiBatches
from tests.support.fakes.json_api import JsonApi
from tests.support.fakes.named_service import NamedService, build_instance, list_variables
from tests.support.fakes.openai_batches import OpenAIBatches
from tests.support.fakes.openai_images import OpenAIImages
from tests.support.fakes.serving import Provider, serving
from tests.support.forward_proxy import HOST, LOGIN, PASSWORD, ForwardProxy, forward_proxy
from tests.support.raw_server import http, raw_server
from tests.tasks.backends.replicate.test_never_twice import QUICK

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE")
KEY = "sk-test-1234567890abcdef"
HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 200))
DELIVERED: dict[str, Any] = {"delivery_hosts": [HOST, "127.0.0.1"]}
SERVICES: dict[str, tuple[Callable[[], Provider], Callable[[str], dict[str, Any]]]] = {
    "fal": (FalQueue, lambda url: fal_queue.instance(url, **DELIVERED)),
    "openai": (OpenAIImages, lambda url: {**openai_batches.instance(url), "mode": "sync"}),
    "openai batches": (OpenAIBatches, openai_batches.instance),
    "http": (JsonApi, lambda url: json_api.polled(url, **DELIVERED)),
    "comfyui": (ComfyUI, comfyui.instance),
    "gemini batches": (GeminiBatches, gemini_batches.instance),
    "a preset": (lambda: NamedService(name="bfl"), lambda url: build_instance("bfl", url, price_usd=0.02)),
}
KINDS = ["replicate", *SERVICES]


@dataclass(frozen=True)
class Service:
    """A service under the name that the proxy alone knows."""

    instance: dict[str, Any]
    count_created: Callable[[], int]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    # Plain http too goes to a host of another name here.
    monkeypatch.setenv("IMAGEN_ALLOW_HTTP", "true")
    for name in (*list_variables(), "REPLICATE_API_TOKEN", "FAL_KEY", "OPENAI_API_KEY", "ANY_KEY"):
        monkeypatch.setenv(name, KEY)


@asynccontextmanager
async def serve(kind: str, scheme: str, host: str = HOST) -> AsyncIterator[Service]:
    """One service; its own addresses have the name too."""

    def rename(url: str) -> str:
        return f"{scheme}://{host}:{url.rpartition(':')[2]}"

    if kind == "replicate":
        async with run_simulator(QUICK) as simulator:
            simulator.provider.api_url = rename(simulator.provider.api_url)
            simulator.provider.delivery_url = rename(simulator.provider.delivery_url)
            instance = {"type": "replicate", "model": "black-forest-labs/flux-schnell", "delivery_hosts": [host]}
            instance["api_base"] = simulator.provider.api_url
            yield Service(instance, lambda: simulator.truth().created)
        return
    provider, build = SERVICES[kind][0](), SERVICES[kind][1]
    async with serving(provider):
        provider.url = rename(provider.url)
        yield Service(build(provider.url), lambda: len(provider.created))


WAYS = {
    "HTTP_PROXY": ("http", None),
    "HTTPS_PROXY": ("https", LOGIN),
    "ALL_PROXY": ("https", None),
}


def use(proxy: ForwardProxy, variable: str, login: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables as a company does."""
    monkeypatch.setenv(variable, proxy.url if login is None else proxy.url.replace("//", f"//{login}@"))
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.authority))


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_service_is_reached_through_the_proxy(
    kind: str, variable: str, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its creates, looks and images: the name of the host has no address but the proxy's."""
    scheme, login = WAYS[variable]
    wanted = f"robot:{PASSWORD}" if login else None
    async with forward_proxy(tmp_path, login=wanted) as proxy, serve(kind, scheme) as service:
        use(proxy, variable, login, monkeypatch)
        jobs = [make_instance_job(service.instance, number) for number in range(2)]
        counts = await generate(out, service.instance, jobs)
        assert (counts.succeeded, service.count_created()) == (2, 2)
        assert all(("CONNECT " in asked) == (scheme == "https") for asked in proxy.asked)
        assert proxy.asked


async def run_to_stop(batch: Batch) -> None:
    """Generate, and raise what stopped it."""
    await generate_range(batch, *EVERYTHING)
    batch.stop.check()


@pytest.mark.parametrize(
    ("kind", "variable"), [("replicate", "HTTPS_PROXY"), *((kind, "HTTP_PROXY") for kind in KINDS)]
)
async def test_a_proxy_that_refuses_the_login_stops_the_batch_and_spends_nothing(
    kind: str, variable: str, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error, which names the proxy without the password; no job is held, failed or sent."""
    scheme, _ = WAYS[variable]
    async with forward_proxy(tmp_path, login="somebody:else") as proxy, serve(kind, scheme) as service:
        use(proxy, variable, LOGIN, monkeypatch)
        jobs = [make_instance_job(service.instance, number) for number in range(2)]
        async with batch_at(out, service.instance, jobs, clock=HASTY) as batch:
            with pytest.raises(BatchStopped) as caught:
                await run_to_stop(batch)
            counts = await count_jobs(batch.engine)
        assert caught.value.reason == "proxy"
        assert proxy.url in str(caught.value)
        assert "ss-word" not in str(caught.value)
        assert (counts.held, counts.failed, counts.cost_micros, service.count_created()) == (0, 0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_that_is_away_costs_nothing_and_holds_nothing(
    kind: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as a service that cannot be reached; the error names the proxy without its login."""
    monkeypatch.setenv("ALL_PROXY", f"http://{LOGIN}@127.0.0.1:1")
    async with serve(kind, "http") as service:
        job = make_instance_job(service.instance)
        async with batch_at(out, {**service.instance, "max_attempts": 1}, [job], clock=HASTY) as batch:
            await generate_range(batch, *EVERYTHING)
            counts = await count_jobs(batch.engine)
            words = str(batch.stop.cause or "")
        assert (counts.held, counts.succeeded, counts.cost_micros, service.count_created()) == (0, 0, 0, 0)
        assert "ss-word" not in words


@pytest.mark.parametrize("kind", ["replicate", "comfyui"])
async def test_no_proxy_is_asked_for_an_exempt_host(kind: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is away, which nobody notices."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8, .corp.test")
    async with serve(kind, "http", "127.0.0.1") as service:
        counts = await generate(out, service.instance, [make_instance_job(service.instance)])
    assert counts.succeeded == 1


def test_a_manifest_behind_a_socks_proxy_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would ask for another package; the login is not shown."""
    monkeypatch.setenv("ALL_PROXY", f"socks5://{LOGIN}@127.0.0.1:1")
    with pytest.raises(ValueError, match="SOCKS proxy, which is not supported") as caught:
        fetch(f"http://{HOST}/m.csv", tmp_path)
    assert "ss-word" not in str(caught.value)


@pytest.mark.parametrize(("variable", "way"), WAYS.items())
async def test_pages_and_the_sink_are_reached_through_the_proxy(
    variable: str, way: tuple[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schemas, pages about models and usage rows; with a wrong login each is refused by one clear error."""
    scheme, login = way
    answer = http("200 OK", "[]", Content_Range="*/0", Connection="close")
    wanted = f"robot:{PASSWORD}" if login else None
    async with forward_proxy(tmp_path, login=wanted) as proxy, raw_server(answer) as server:
        use(proxy, variable, login, monkeypatch)
        address = f"{scheme}://{HOST}:{server.url.rpartition(':')[2]}"
        monkeypatch.setenv("SUPABASE_URL", address)
        monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", KEY)
        assert await asyncio.to_thread(fetch_page, f"{address}/v1/models", {}) == (200, [])
        async with open_supabase(UsageSettings(sink="supabase"), retry_usage(HASTY.sleep)) as sink:
            await sink.push([])
        proxy.login = "somebody:else"
        with pytest.raises(NO_PAGE, match="407"):
            await asyncio.to_thread(fetch_page, f"{address}/v1/models", {})
        async with open_supabase(UsageSettings(sink="supabase"), retry_usage(HASTY.sleep)) as sink:
            with pytest.raises(UsageRefused, match="407") as caught:
                await sink.push([])
        assert "ss-word" not in str(caught.value)
        assert len(proxy.asked) == 4
