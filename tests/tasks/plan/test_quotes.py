"""`imagen plan --ask`: what the services say that an image costs, beside what the plan counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.core.configuration.settings import Settings
from tasks.manifest import open_manifest
from tasks.plan import quotes
from tasks.plan.cap_room import Share
from tasks.plan.planner import PlanOptions
from tasks.plan.quotes import ask_quotes, format_quote
from tests.support.factories import make_job
from tests.support.fakes.backends import NAME, build_settings
from tests.support.fakes.named_service import NamedService, build_instance
from tests.support.fakes.serving import serving
from tests.support.raw_server import http, raw_server

NOW = datetime(2026, 11, 26, 14, tzinfo=UTC)


async def ask(settings: Settings, tmp_path: Path, images: int = 100, model: str = "") -> dict[str, Any]:
    """The one record of a manifest of one row."""
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": "a {seed} fox", "backend_opts": {"quality": "high"}}) + "\n")
    instance = settings.backends[NAME]
    to_do = {(NAME, model or instance.model): Share(images, 0, 0)}
    with open_manifest(str(path)) as manifest:
        [record] = await ask_quotes(manifest, settings, PlanOptions(), to_do, now=NOW)
    return record


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "$0.06 for the image of line 1 ($0.06 a run; "),
        ({}, "the plan counts $0.06 too"),
        (
            {"price_usd": 0.02},
            "the plan counts $0.02: at the quote 100 images like it cost $4.00 more; set backends.api.price_usd",
        ),
        ({"model": "ideogram-9"}, "the plan knows no price: set backends.api.price_usd"),
    ],
)
async def test_ideogram_quotes_the_request_itself(
    changes: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With where and when it was asked; what differs from the plan is said, and nothing is made."""
    service = NamedService(name="ideogram")
    monkeypatch.setenv("IDEOGRAM_API_KEY", service.key)
    async with serving(service) as url:
        record = await ask(build_settings(build_instance("ideogram", url, **changes)), tmp_path)
    line = format_quote(record)
    assert told in line
    assert f"{url}/v2/image/generate/{changes.get('model', 'ideogram-4-5')}, 2026-11-26T14:00:00+00:00" in line
    assert (record["quote_usd"], service.created, service.key in line) == (0.06, [], False)


async def test_without_a_key_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to set."""
    monkeypatch.delenv("IDEOGRAM_API_KEY", raising=False)
    record = await ask(build_settings(build_instance("ideogram", "http://127.0.0.1:1")), tmp_path)
    assert format_quote(record) == (
        "quote for api (ideogram-4-5): not asked: set IDEOGRAM_API_KEY (a key is made at https://ideogram.ai/manage-api)"
    )


OPENROUTER = {
    "id": "m",
    "endpoints": [
        {"pricing": [{"billable": "output_image", "unit": "image", "cost_usd": 0.03}]},
        {"pricing": [{"billable": "output_image", "unit": "image", "cost_usd": 0.05}, {"billable": "input_image", "unit": "image", "cost_usd": 9}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "document", "said"),
    [
        ("200 OK", OPENROUTER, 0.05),
        ("200 OK", {"endpoints": [{"pricing": [{"billable": "output_image", "unit": "token", "cost_usd": 1e-6}]}]}, "names no price"),
        ("200 OK", {"endpoints": [{"pricing": [{"billable": "output_image", "unit": "image", "cost_usd": -1}]}]}, "names no price"),
        ("401 Unauthorized", {"error": {"message": "No auth credentials found"}}, "does not accept the token"),
        ("404 Not Found", {"error": {"message": "no such model"}}, "no such model"),
        ("503 Service Unavailable", {}, "cannot be asked"),
    ],
)  # fmt: skip
async def test_openrouter_lists_the_prices_of_all_makers(
    status: str, document: Any, said: float | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The highest counts; what is no price of an image, and every no, is told in one sentence."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "key")
    async with raw_server(http(status, json.dumps(document))) as server:
        record = await ask(build_settings(build_instance("openrouter", server.url)), tmp_path)
        assert server.requests[0].startswith("GET /api/v1/images/models/bytedance-seed/seedream-4.5/endpoints ")
    if isinstance(said, float):
        assert record["quote_usd"] == said
    else:
        assert said in record["why_not"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ({"unit_price": 0.003, "unit": "megapixels", "currency": "USD"}, 0.003),
        ({"unit_price": 0.04, "unit": "image"}, 0.04),
        ({"unit_price": 0.0005, "unit": "compute seconds", "currency": "USD"}, "0.0005 USD for each compute seconds"),
        ({"unit_price": 0.04, "unit": "image", "currency": "EUR"}, "EUR"),
        ({"unit_price": "free", "unit": "image"}, "names no price"),
        ({"endpoint_id": "another/model"}, "names no price"),
    ],
)
async def test_fal_s_price_list(
    price: Mapping[str, Any], said: float | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By image or megapixel it is compared; another unit or currency is told as it is."""
    monkeypatch.setenv("FAL_KEY", "key")
    entry = {"endpoint_id": "fal-ai/flux/schnell", **price}
    async with raw_server(http("200 OK", json.dumps({"prices": [entry]}))) as server:
        instance = {
            "type": "fal",
            "model": "fal-ai/flux/schnell",
            "queue_base": "http://127.0.0.1:1",
            "pricing_base": f"{server.url}/v1",
        }
        record = await ask(build_settings(instance), tmp_path)
        other = await ask(build_settings({**instance, "pricing_base": None}), tmp_path)
    assert server.requests[0].startswith("GET /v1/models/pricing?endpoint_id=fal-ai/flux/schnell ")
    assert "authorization: key key" in server.requests[0].lower()
    assert record["quote_usd"] == said if isinstance(said, float) else said in record["why_not"]
    assert other["why_not"] == "its service states no prices"
    assert len(server.requests) == 1


async def test_a_service_that_does_not_answer_ends_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is given a bounded time; others state no prices."""
    monkeypatch.setattr(quotes, "TIMEOUT_S", 0.01)
    silent: Any = SimpleNamespace(states_prices=True, ready=lambda: None, quote=lambda _: asyncio.sleep(3_600))
    assert "no answer within" in str(await quotes._ask(silent, make_job(0)))
    mute: Any = SimpleNamespace(ready=lambda: None)
    assert await quotes._ask(mute, make_job(0)) == "its service states no prices"
