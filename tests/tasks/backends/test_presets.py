"""Image services by name, each against a server on loopback that answers in that API's shape."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tasks.backends import build_backend
from tasks.backends.base import Backend
from tasks.backends.listings import list_services
from tasks.core.errors import BatchStopped, ConfigError, InputError, JobError, Refused
from tasks.core.presets import list_presets, load_preset
from tasks.core.presets.blocks import add_block
from tasks.core.settings import Settings, load_settings
from tests.support.fakes.backends import NAME, make_instance_job
from tests.support.raw_server import RawServer, http, raw_server
from tests.support.scripted_backend import picture

IMAGE = picture()
B64 = base64.b64encode(IMAGE).decode()
BYTES = "\x01not a text, so an image for all that is known here"
URL = "SERVER"
"""In an answer, the server's own address."""
VARIABLES = {"CLOUDFLARE_ACCOUNT_ID", "AZURE_OPENAI_RESOURCE", "GOOGLE_CLOUD_PROJECT"} | {
    str(load_preset(name).key) for name in list_presets() if load_preset(name).key
}

OPENAI_SHAPE = [{"data": [{"b64_json": B64}]}]
GOOD: dict[str, list[Any]] = {
    "gemini": [
        {
            "candidates": [
                {"content": {"parts": [{"text": "a fox"}, {"inlineData": {"data": B64}}]}, "finishReason": "STOP"}
            ]
        }
    ],
    "imagen4": [{"predictions": [{"bytesBase64Encoded": B64, "mimeType": "image/png"}]}],
    "vertex": [{"predictions": [{"bytesBase64Encoded": B64}]}],
    "bfl": [
        {"id": "1", "polling_url": f"{URL}/get?id=1", "cost": 3},
        {"id": "1", "status": "Pending"},
        {"status": "Ready", "result": {"sample": f"{URL}/a.png"}},
        BYTES,
    ],
    "ideogram": [{"data": [{"url": f"{URL}/a.png", "is_image_safe": True, "seed": 1}]}, BYTES],
    "recraft": [{"data": [{"url": f"{URL}/a.png"}], "credits": 35}, BYTES],
    "stability": [BYTES],
    "runway": [
        {"id": "1"},
        {"id": "1", "status": "THROTTLED"},
        {"status": "SUCCEEDED", "output": [f"{URL}/a.png"]},
        BYTES,
    ],
    "luma": [
        {"id": "1", "state": "queued"},
        {"state": "dreaming"},
        {"state": "completed", "assets": {"image": f"{URL}/a.png"}},
        BYTES,
    ],
    "together": OPENAI_SHAPE,
    "fireworks": [BYTES],
    "cloudflare": [{"result": {"image": B64}, "success": True, "errors": []}],
    "huggingface": [BYTES],
    "openrouter": [{**OPENAI_SHAPE[0], "usage": {"cost": 0.04}}],
    "xai": [{**OPENAI_SHAPE[0], "usage": {"cost_in_usd_ticks": 200_000_000}}],
    "azure-openai": OPENAI_SHAPE,
    "bedrock": [{"images": [B64], "finish_reasons": [None], "seeds": [1]}],
    "a1111": [{"images": [B64], "parameters": {}, "info": ""}],
    "swarmui": [{"session_id": "s"}, {"images": ["View/local/raw/a.png"]}, BYTES],
    "localai": OPENAI_SHAPE,
    "vllm-omni": OPENAI_SHAPE,
    "sglang": OPENAI_SHAPE,
}
"""Answers of a whole way of one job, in turn."""
COSTS = {
    "bfl": 30_000,
    "recraft": 35_000,
    "openrouter": 40_000,
    "xai": 20_000,
    "a1111": 0,
    "swarmui": 0,
    "localai": 0,
    "vllm-omni": 0,
    "sglang": 0,
}
"""Millionths of a dollar where the service states them, or nothing costs anything; the others are unknown."""

REFUSED: dict[str, list[Any]] = {
    "gemini": [{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}],
    "imagen4": [{"predictions": [{"raiFilteredReason": "Unable to show images: filtered by safety settings"}]}],
    "bfl": [
        {"id": "1", "polling_url": f"{URL}/get?id=1"},
        {"status": "Request Moderated", "details": {"Moderation Reasons": ["x"]}},
    ],
    "ideogram": [{"data": [{"url": None, "is_image_safe": False}]}],
    "recraft": [
        (
            "400 Bad Request",
            {"code": "invalid_request_parameter", "message": "Prompt was rejected by content moderation"},
        )
    ],
    "stability": [
        (
            "403 Forbidden",
            {
                "id": "x",
                "name": "content_moderation",
                "errors": ["Your request was flagged by our content moderation system"],
            },
        )
    ],
    "runway": [{"id": "1"}, {"status": "FAILED", "failureCode": "SAFETY.INPUT.TEXT", "failure": "not allowed"}],
    "luma": [
        {"id": "1"},
        {"state": "failed", "failure_reason": "prompt not allowed because advanced moderation failed"},
    ],
    "xai": [{"data": []}],
    "azure-openai": [
        (
            "400 Bad Request",
            {"error": {"code": "contentFilter", "message": "Your task failed as a result of our safety system."}},
        )
    ],
    "bedrock": [{"images": [], "finish_reasons": ["Filter reason: prompt"], "seeds": []}],
    "openrouter": [
        (
            "403 Forbidden",
            {"error": {"code": 403, "message": "flagged for moderation", "metadata": {"reasons": ["violence"]}}},
        )
    ],
}
BAD_KEY: dict[str, tuple[str, Any]] = {
    "gemini": (
        "400 Bad Request",
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
            }
        },
    ),
    "xai": ("400 Bad Request", {"code": "invalid-argument", "error": "Incorrect API key provided: xa***."}),
}
HTTP_401 = ("401 Unauthorized", {"error": {"message": "who are you?"}})


def build_preset(name: str, server: RawServer, folder: Path) -> Backend:
    """The service's instance as the user's file has it, but for the host, which is the server on loopback."""
    text = json.dumps(load_preset(name).instance).replace(
        "{env:AZURE_OPENAI_RESOURCE}.openai.azure.com", "azure.example"
    )
    instance = yaml.safe_load(text)
    token = [sys.executable, "-c", "print('ya29.token')"]
    changes: dict[str, Any] = {
        "usual_latency_s": 0,
        **({"token_command": token} if "token_command" in instance else {}),
    }
    if instance["type"] == "http":
        changes |= {"requests_per_min": 60_000, "delivery_hosts": ["127.0.0.1"]}
    text = yaml.safe_dump({"default_backend": NAME, "backends": {NAME: {**instance, **changes}}})
    for host in find_hosts(instance):
        text = text.replace(host, server.url)
    path = folder / "imagen.yaml"
    path.write_text(text)
    return build_backend(NAME, load_settings(path))


def find_hosts(instance: Mapping[str, Any]) -> set[str]:
    """Scheme and host of every address in the settings."""
    urls = [part.get("url") for part in instance.values() if isinstance(part, dict)]
    urls += [instance.get("api_base"), (instance.get("output") or {}).get("base")]
    return {str(url).split("/{env", 1)[0].split("/", 3)[0] + "//" + str(url).split("/", 3)[2] for url in urls if url}


def spell(answer: Any, server: RawServer) -> bytes:
    """One answer of the server."""
    status, body = answer if isinstance(answer, tuple) else ("200 OK", answer)
    if isinstance(body, str):
        return http(status, body, "image/png")
    return http(status, json.dumps(body).replace(URL, server.url))


async def run(name: str, answers: list[Any], folder: Path) -> tuple[bytes, int | None, RawServer]:
    """The whole way of one job: its image, its cost, what the server was asked."""
    async with raw_server() as server:
        server.answers = [spell(answer, server) for answer in answers]
        backend = build_preset(name, server, folder)
        assert backend.ready() is None
        job = make_instance_job(load_preset(name).instance, width=1024, height=1024)
        try:
            ended = await backend.wait(job, await backend.submit(job, attempt=1))
            return await backend.fetch(job, ended), ended.cost_micros, server
        finally:
            await backend.close()


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "key-of-the-test")


@pytest.mark.parametrize("name", list_presets())
async def test_an_image_comes_through(name: str, tmp_path: Path) -> None:
    """In the API's own shape, with its key, and at the cost that the service states."""
    data, cost_micros, server = await run(name, GOOD[name], tmp_path)
    assert data in {IMAGE, BYTES.encode()}
    assert cost_micros == COSTS.get(name)
    if load_preset(name).key is not None:
        create = server.requests[0]
        assert "key-of-the-test" in create
        assert "a picture of number 0" in create
    assert "key-of-the-test" not in server.requests[-1] or len(GOOD[name]) == 1


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_prompt_is_told_apart(name: str, tmp_path: Path) -> None:
    """As a refusal, which is never sent again by itself, whatever shape the service gives it."""
    with pytest.raises(Refused):
        await run(name, REFUSED[name], tmp_path)


@pytest.mark.parametrize("name", [name for name in list_presets() if load_preset(name).key])
async def test_a_refused_key_stops_the_batch(name: str, tmp_path: Path) -> None:
    """Nobody's job is failed for it, also where the service says so with 400."""
    with pytest.raises(BatchStopped) as caught:
        await run(name, [BAD_KEY.get(name, HTTP_401)], tmp_path)
    assert caught.value.reason == "token"
    assert "key-of-the-test" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in list_presets() if load_preset(name).instance["type"] == "http"])
async def test_an_image_that_is_not_there_is_an_error_of_its_job(name: str, tmp_path: Path) -> None:
    """An empty answer breaks nothing."""
    ended = {"status": "Failed" if name == "bfl" else "FAILED", "state": "failed"}
    created = {"session_id": "s", "id": "1", "polling_url": f"{URL}/x"}
    answers = [created, {}] if name == "swarmui" else [{**created, **ended}]
    with pytest.raises(JobError):
        await run(name, answers, tmp_path)


def test_every_service_says_what_it_is() -> None:
    """Listed with its key, where that is made, and what it was held against; none is left out of these tests."""
    services = {service["name"]: service for service in list_services(Settings())}
    assert set(services) == set(GOOD) == set(list_presets())
    for name, service in services.items():
        assert all(service[field] for field in ("title", "price", "refused", "lost", "kept", "checked")), name
        assert (service["key"] is None) == (service["key_at"] is None)
        assert service["key_at"] is None or httpx.URL(service["key_at"]).scheme == "https"


def test_a_service_s_name_is_a_type_and_own_settings_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key says where it is made."""
    path = tmp_path / "imagen.yaml"
    path.write_text("default_backend: g\nbackends:\n  g: {type: gemini, model: other, concurrency: 3}\n")
    settings = load_settings(path)
    instance = settings.backends["g"]
    assert (instance.type, instance.model, instance.concurrency) == ("http", "other", 3)
    monkeypatch.delenv("GEMINI_API_KEY")
    assert "aistudio.google.com" in str(build_backend("g", settings).ready())
    path.write_text("default_backend: g\nbackends:\n  g: {type: gemini, ouput: {}}\n")
    with pytest.raises(ConfigError, match="ouput"):
        build_backend("g", load_settings(path))


@pytest.mark.parametrize(
    "before",
    [
        "",
        "default_backend: a\n",
        "backends:\n  a: {type: sketch}\ndefault_backend: a\n",
        "backends: # mine\n\n  # a\n  a:\n    type: sketch\ndefault_backend: a\n",
    ],
)
def test_a_service_is_written_into_a_configuration(before: str, tmp_path: Path) -> None:
    """Under `backends`, with comments; what stood there stays, and a second time is an error."""
    path = tmp_path / "imagen.yaml"
    path.write_text(before)
    add_block(path, "gemini")
    values = yaml.safe_load(path.read_text())
    assert values["backends"]["gemini"] == {"type": "gemini"}
    assert values.get("default_backend") == (yaml.safe_load(before) or {}).get("default_backend")
    assert set(values["backends"]) - {"gemini"} == set((yaml.safe_load(before) or {}).get("backends") or {})
    with pytest.raises(InputError, match="already"):
        add_block(path, "gemini")


@pytest.mark.parametrize(
    "text", ["backends: {a: {type: sketch}}\n", "backends:\n    a: {type: sketch}\n", "a: [", "backends: 5\n"]
)
def test_a_file_without_a_place_for_it_is_left_alone(text: str, tmp_path: Path) -> None:
    """The block is shown, to be pasted."""
    path = tmp_path / "imagen.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="type: gemini"):
        add_block(path, "gemini")
    assert path.read_text() == text
    with pytest.raises(InputError, match="no such service; there are: a1111, azure-openai"):
        add_block(path, "gemnii")
