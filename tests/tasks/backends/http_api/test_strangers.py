"""Services that imagen has no preset for, each described in at most 20 lines as its own page shows it."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.backends.client.downloads import Delivery
from tasks.core.errors import BatchStopped, JobError, Refused, Throttled, UnreadableAnswer
from tasks.core.money import to_micros
from tasks.generate.jobs import generate_range
from tasks.generate.kept_answers import reread_answers
from tasks.ledger.queries import count_jobs
from tests.support.factories import make_job
from tests.support.fakes.backends import EVERYTHING, NAME, batch_at, make_instance_job, open_backend
from tests.support.raw_server import RawServer, http, raw_server
from tests.support.scripted_backend import picture

PICTURE = picture()

IMAGE = http("200 OK", "\x01image", "image/png")
ADDRESS = "SERVER/image.png"
MOST_LINES = 20

DASHSCOPE = """
model: qwen-image
price_usd: 0.035
create:
  method: POST
  url: SERVER/api/v1/services/aigc/text2image/image-synthesis
  headers: {Authorization: "Bearer {env:ANY_KEY}", X-DashScope-Async: enable}
  body:
    model: "{model}"
    input: {prompt: "{prompt}", negative_prompt: "{negative_prompt}"}
    parameters: {size: "{width}*{height}", n: 1, seed: "{seed}"}
opts_at: /parameters
id: /output/task_id
poll: {url: "SERVER/api/v1/tasks/{id}", headers: {Authorization: "Bearer {env:ANY_KEY}"}}
state: {at: /output/task_status, succeeded: [SUCCEEDED], failed: [FAILED, CANCELED], unknown: [UNKNOWN]}
error: [/output/message, /output/results/0/message]
output: {at: "$.output.results[*].url"}
"""
MINIMAX = """
model: image-01
price_usd: 0.0035
create:
  method: POST
  url: SERVER/v1/image_generation
  headers: {Authorization: "Bearer {env:ANY_KEY}"}
  body: {model: "{model}", prompt: "{prompt}", aspect_ratio: "{aspect_ratio}", seed: "{seed}", n: 1, response_format: url}
error: /base_resp/status_msg
throttled_when: [{at: /base_resp/status_code, is: 1002}]
failed_when: [{at: /base_resp/status_code, is_not: 0}]
failures_are_free: true
output: {at: /data/image_urls}
"""
LEONARDO = """
model: lucid-origin
price_usd: 0.02
create:
  method: POST
  url: SERVER/api/rest/v1/generations
  headers: {Authorization: "Bearer {env:ANY_KEY}"}
  body: {modelId: "{model}", prompt: "{prompt}", width: "{width}", height: "{height}", num_images: 1, seed: "{seed}"}
id: /sdGenerationJob/generationId
poll: {url: "SERVER/api/rest/v1/generations/{id}", headers: {Authorization: "Bearer {env:ANY_KEY}"}}
state: {at: /generations_by_pk/status, succeeded: [COMPLETE], failed: [FAILED]}
output: {at: "$.generations_by_pk.generated_images[*].url"}
refused_when: [{at: "$.generations_by_pk.generated_images[*].nsfw", is: true}]
cost: {at: /sdGenerationJob/apiCreditCost, times: 0.002, in: create}
"""
FREEPIK = """
model: mystic
price_usd: 0.05
create:
  method: POST
  url: SERVER/v1/ai/mystic
  headers: {x-freepik-api-key: "{env:ANY_KEY}"}
  body: {prompt: "{prompt}", aspect_ratio: "{aspect_ratio}", resolution: 2k}
names: {aspect_ratio: {"1:1": square_1_1, "16:9": widescreen_16_9, "9:16": social_story_9_16}}
id: /data/task_id
poll: {url: "SERVER/v1/ai/mystic/{id}", headers: {x-freepik-api-key: "{env:ANY_KEY}"}}
state: {at: /data/status, succeeded: [COMPLETED], failed: [FAILED]}
output: {at: /data/generated}
refused_when: [{at: /data/has_nsfw, is: true}]
"""
FIREFLY = """
model: image4
price_usd: 0.02
before:
  method: POST
  url: SERVER/ims/token/v3
  fields: {grant_type: client_credentials, client_id: "{env:ANY_KEY}", client_secret: "{env:ANY_KEY}", scope: openid}
  value: /access_token
create:
  method: POST
  url: SERVER/v3/images/generate-async
  headers: {Authorization: "Bearer {token}", x-api-key: "{env:ANY_KEY}"}
  body: {prompt: "{prompt}", size: {width: "{width}", height: "{height}"}, seeds: ["{seed}"], numVariations: 1}
id: /jobId
poll: {at: /statusUrl, headers: {Authorization: "Bearer {token}", x-api-key: "{env:ANY_KEY}"}}
state: {at: /status, succeeded: [succeeded], failed: [failed, cancelled]}
error: /message
output: {at: "$.result.outputs[*].image.url"}
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way through a service."""

    service: str
    answers: list[Any]
    """Documents, or whole answers, in turn."""
    row: dict[str, Any] = field(default_factory=dict)
    sent: str = ""
    """A part of the create."""
    error: type[Exception] | None = None
    says: str = ""
    cost_usd: float | None = None


def _leonardo(**image: Any) -> list[Any]:
    created = {"sdGenerationJob": {"generationId": "g1", "apiCreditCost": 7}}
    return [created, {"generations_by_pk": {"status": "COMPLETE", "generated_images": [{"url": ADDRESS, **image}]}}]


def _zip_image() -> bytes:
    """An answer that is a zip file with a text and an image."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("about.json", "{}")
        file.writestr("image.png", b"\x01image")
    data = archive.getvalue()
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


_TASK = {"output": {"task_status": "PENDING", "task_id": "t-1"}, "request_id": "r"}
_FLAGGED = {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "Input data may contain bad content."}
_CASES = {
    "a size with a star": Case(
        service=DASHSCOPE,
        answers=[_TASK, {"output": {"task_status": "SUCCEEDED", "results": [{"url": ADDRESS}]}}, IMAGE],
        row={"width": 1024, "height": 768},
        sent='"size":"1024*768"',
        cost_usd=0.035,
    ),
    "no size": Case(
        service=DASHSCOPE,
        answers=[_TASK, {"output": {"task_status": "SUCCEEDED", "results": [{"url": ADDRESS}]}}, IMAGE],
        sent='"parameters":{"n":1,',
        cost_usd=0.035,
    ),
    "not known yet": Case(
        service=DASHSCOPE,
        answers=[
            _TASK,
            {"output": {"task_status": "UNKNOWN"}},
            {"output": {"task_status": "SUCCEEDED", "results": [{"url": ADDRESS}]}},
            IMAGE,
        ],
        cost_usd=0.035,
    ),
    "refused in a task": Case(
        service=DASHSCOPE, answers=[_TASK, {"output": _FLAGGED}], error=Refused, says="bad content"
    ),
    "account in arrears": Case(
        service=DASHSCOPE,
        answers=[http("400 Bad Request", json.dumps({"code": "Arrearage", "message": "Access denied, ..."}))],
        error=BatchStopped,
        says="Add credit",
    ),
    "a key that is wrong": Case(
        service=DASHSCOPE,
        answers=[http("400 Bad Request", json.dumps({"code": "InvalidApiKey", "message": "No API-key provided."}))],
        error=BatchStopped,
        says="ANY_KEY",
    ),
    "several addresses": Case(
        service=MINIMAX,
        answers=[{"data": {"image_urls": [ADDRESS]}, "base_resp": {"status_code": 0, "status_msg": "success"}}, IMAGE],
        row={"aspect_ratio": "16:9"},
        sent='"aspect_ratio":"16:9"',
        cost_usd=0.0035,
    ),
    "a zip file at an address": Case(
        service=MINIMAX,
        answers=[{"data": {"image_urls": [[ADDRESS]]}, "base_resp": {"status_code": 0}}, _zip_image()],
        cost_usd=0.0035,
    ),
    "no credit in a 200": Case(
        service=MINIMAX,
        answers=[{"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}],
        error=BatchStopped,
        says="Add credit",
    ),
    "no login in a 200": Case(
        service=MINIMAX,
        answers=[{"base_resp": {"status_code": 1004, "status_msg": "login fail: Please carry the API secret key"}}],
        error=BatchStopped,
        says="ANY_KEY",
    ),
    "too many in a 200": Case(
        service=MINIMAX,
        answers=[{"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}],
        error=Throttled,
        says="rate limit",
    ),
    "refused in a 200": Case(
        service=MINIMAX,
        answers=[{"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}],
        error=Refused,
        cost_usd=0,
    ),
    "another code in a 200": Case(
        service=MINIMAX,
        answers=[{"base_resp": {"status_code": 2013, "status_msg": "invalid params"}}],
        error=JobError,
        says="invalid params",
        cost_usd=0,
    ),
    "credits in the create": Case(service=LEONARDO, answers=[*_leonardo(nsfw=False), IMAGE], cost_usd=0.014),
    "a flag of an image": Case(service=LEONARDO, answers=_leonardo(nsfw=True), error=Refused),
    "a name of a shape": Case(
        service=FREEPIK,
        answers=[
            {"data": {"task_id": "f1", "status": "CREATED", "generated": []}},
            {"data": {"status": "completed", "generated": [ADDRESS], "has_nsfw": [False]}},
            IMAGE,
        ],
        row={"aspect_ratio": "16:9"},
        sent='"aspect_ratio":"widescreen_16_9"',
        cost_usd=0.05,
    ),
    "a list of flags": Case(
        service=FREEPIK,
        answers=[
            {"data": {"task_id": "f1", "status": "CREATED"}},
            {"data": {"status": "COMPLETED", "generated": [ADDRESS], "has_nsfw": [True]}},
        ],
        error=Refused,
    ),
    "a login and an address to poll": Case(
        service=FIREFLY,
        answers=[
            {"access_token": "t0", "expires_in": 86399},
            {"jobId": "urn:ff:jobs:1", "statusUrl": "SERVER/v3/status/urn:ff:jobs:1", "cancelUrl": "SERVER/c"},
            {"status": "running"},
            {"status": "succeeded", "result": {"outputs": [{"seed": 1, "image": {"url": ADDRESS}}]}},
            IMAGE,
        ],
        row={"width": 2048, "height": 2048, "seed": 7},
        sent='"seeds":[7]',
        cost_usd=0.02,
    ),
}


@pytest.mark.parametrize("name", _CASES)
async def test_a_service_that_nobody_has_described(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images come at their cost, and what it says no with is told apart."""
    case = _CASES[name]
    monkeypatch.setenv("ANY_KEY", "sk-0123456789")
    assert len(case.service.strip().splitlines()) <= MOST_LINES
    async with raw_server() as server:
        server.answers = [_write(answer, server) for answer in case.answers]
        if case.error is None:
            assert await _make(case, server) == (b"\x01image", to_micros(case.cost_usd))
        else:
            with pytest.raises(case.error) as caught:
                await _make(case, server)
            assert case.says in str(caught.value)
            assert case.cost_usd is None or caught.value.cost_micros == to_micros(case.cost_usd)  # type: ignore[attr-defined]
    assert any(case.sent in request for request in server.requests)


async def test_a_state_that_nobody_configured_is_told_with_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction that was ready all the time is kept and stops the batch: the next ones would be paid for and lost too."""
    monkeypatch.setenv("ANY_KEY", "sk-0123456789")
    done = {"output": {"task_status": "DONE", "results": [{"url": ADDRESS}]}}
    case = Case(service=DASHSCOPE + "timeout_s: 0.2", answers=[])
    async with raw_server() as server:
        server.answers = [_write(_TASK, server), _write(done, server)]
        with pytest.raises(UnreadableAnswer, match="its state is still 'DONE', and it holds an image") as caught:
            await _make(case, server)
    assert caught.value.cost_micros == 35_000


def test_a_shape_without_a_name_is_refused_with_its_row() -> None:
    """It would be refused there, or become the service's default in silence."""
    backend = open_backend(_describe(FREEPIK, "https://api.example.com"))
    job = make_job(backend=NAME, width=None, height=None, aspect_ratio="21:9")
    assert backend.problems(job) == ["aspect_ratio: 21:9 is none of those that `names` has (1:1, 16:9, 9:16)"]


def _describe(service: str, url: str) -> dict[str, Any]:
    terms = {"type": "http", "usual_latency_s": 0, "requests_per_min": 60_000.0}
    return {**terms, **yaml.safe_load(service.replace("SERVER", url))}


def _write(answer: Any, server: RawServer) -> bytes:
    """A whole answer, with the server's own address in it."""
    if isinstance(answer, bytes):
        return answer
    return http("200 OK", json.dumps(answer).replace("SERVER", server.url))


async def _make(case: Case, server: RawServer) -> tuple[bytes, int | None]:
    """The image and the cost of one job."""
    instance = _describe(case.service, server.url)
    backend = open_backend(instance)
    job = make_job(backend=NAME, model=instance["model"], **{"width": None, "height": None, **case.row})
    assert backend.problems(job) == []
    try:
        ended = await backend.wait(job, await backend.submit(job, attempt=1))
        return await backend.fetch(job, ended), ended.cost_micros
    finally:
        await backend.close()


async def test_an_image_at_a_host_that_was_forgotten_is_fetched_once_it_is_named(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one stops the batch, for each is paid for; the corrected description fetches it without another create."""
    monkeypatch.setenv("ANY_KEY", "sk-0123456789")
    body = {"data": {"image_urls": ["http://cdn.example/a.png"]}, "base_resp": {"status_code": 0}}

    async def fetch(self: Delivery, address: str) -> bytes:
        self._check(address)
        return PICTURE

    monkeypatch.setattr(Delivery, "fetch", fetch)
    async with raw_server(http("200 OK", json.dumps(body))) as server:
        instance = _describe(MINIMAX, server.url)
        async with batch_at(out, instance, [make_instance_job(instance)]) as batch:
            await generate_range(batch, *EVERYTHING)
            assert batch.stop.cause is not None
            assert "not among delivery_hosts" in str(batch.stop.cause)
        async with batch_at(out, {**instance, "delivery_hosts": ["*.example"]}, []) as batch:
            assert await reread_answers(batch) == 1
            counts = await count_jobs(batch.engine)
        assert (counts.succeeded, counts.cost_micros, len(server.requests)) == (1, 3_500, 1)
