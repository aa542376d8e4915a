"""Shapes of APIs that a description has to reach: each against a real server on loopback that answers so."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.backends import build_backend
from tasks.backends.http_api.backend import HttpBackend
from tasks.core.configuration.settings import load_settings
from tasks.core.errors import (
    Ambiguous,
    BatchStopped,
    JobError,
    Refused,
    Rejected,
    Throttled,
    UnreadableAnswer,
)
from tasks.core.records import Job, Prediction, ReferenceImage
from tests.support.fakes.backends import NAME, make_instance_job, open_backend
from tests.support.raw_server import RawServer, http, raw_server
from tests.support.scripted_backend import picture

IMAGE = picture()
START = datetime(2026, 11, 26, tzinfo=UTC)
ENCODED = base64.b64encode(IMAGE).decode()


def described(server: RawServer, **changes: Any) -> dict[str, Any]:
    """An API that answers at once with an image in base64."""
    return {
        "type": "http",
        "model": "m",
        "price_usd": 0.04,
        "create": {"method": "POST", "url": f"{server.url}/make", "body": {"text": "{prompt}"}},
        "output": {"kind": "base64", "at": "/image"},
        "usual_latency_s": 0,
        "requests_per_min": 60_000.0,
        **changes,
    }


def polled(server: RawServer, **changes: Any) -> dict[str, Any]:
    """An API whose tasks are polled."""
    state = {"at": "/status", "succeeded": ["Ready"], "failed": ["Failed"]}
    output = {"kind": "base64", "at": "/image"}
    return described(
        server, **{"id": "/id", "poll": {"url": f"{server.url}/t/{{id}}"}, "state": state, "output": output, **changes}
    )


@asynccontextmanager
async def opened(instance: dict[str, Any]) -> AsyncIterator[tuple[HttpBackend, Job]]:
    """The backend of an instance, and a job for it."""
    backend = open_backend(instance)
    assert isinstance(backend, HttpBackend)
    try:
        yield backend, make_instance_job(instance)
    finally:
        await backend.close()


async def make(instance: dict[str, Any]) -> tuple[Prediction, bytes]:
    """The whole way of one job."""
    async with opened(instance) as (backend, job):
        ended = await backend.wait(job, await backend.submit(job, attempt=1))
        return ended, await backend.fetch(job, ended)


def answer(document: object, status: str = "200 OK", **headers: str) -> bytes:
    """A JSON answer."""
    return http(status, json.dumps(document), **headers)


async def test_the_image_is_searched_for_among_the_parts_of_an_answer() -> None:
    """A model that puts a text before its image loses nothing: a JSONPath finds the part that holds one."""
    parts = [{"text": "Here is your fox"}, {"inlineData": {"mimeType": "image/png", "data": ENCODED}}]
    async with raw_server(answer({"candidates": [{"content": {"parts": parts}}]})) as server:
        output = {"kind": "base64", "at": "$.candidates[*].content.parts[*].inlineData.data"}
        ended, data = await make(described(server, output=output))
    assert (data, ended.cost_micros) == (IMAGE, 40_000)


async def test_the_first_of_several_places_that_holds_something_counts() -> None:
    """One description serves two shapes of an answer."""
    for document in ({"images": [ENCODED]}, {"data": {"b64": ENCODED}}):
        async with raw_server(answer(document)) as server:
            output = {"kind": "base64", "at": ["/images/0", "$.data.b64"]}
            assert (await make(described(server, output=output)))[1] == IMAGE


async def test_several_images_of_an_answer_are_all_counted() -> None:
    """One is kept, and all of them are billed."""
    async with raw_server(answer({"images": [ENCODED, ENCODED, ENCODED]})) as server:
        ended, _ = await make(described(server, output={"kind": "base64", "at": "/images"}))
    assert ended.cost_micros == 120_000


async def test_the_address_to_poll_comes_from_the_answer_and_is_enough_to_go_on() -> None:
    """The key goes to the service's own host, also in another process, which has the id alone."""
    async with raw_server() as server:
        server.answers = [
            answer({"id": "1", "polling_url": f"{server.url}/get?id=1"}),
            answer({"status": "Ready", "image": ENCODED}),
        ]
        instance = polled(server, id=None, poll={"at": "/polling_url"})
        async with opened(instance) as (backend, job):
            sent = await backend.submit(job, attempt=1)
        async with opened(instance) as (backend, job):
            ended = await backend.wait(job, Prediction(prediction_id=sent.prediction_id))
            assert await backend.fetch(job, ended) == IMAGE
    assert server.requests[1].startswith("GET /get?id=1 ")


@pytest.mark.parametrize(
    "address", ["https://evil.example/get", "http://127.0.0.1.evil.example/", "file:///etc/passwd", "//evil.example/x"]
)
async def test_an_address_of_another_host_is_never_asked(address: str) -> None:
    """An answer cannot send the key elsewhere."""
    async with raw_server(answer({"polling_url": address})) as server:
        with pytest.raises(JobError, match="api_hosts") as caught:
            await make(polled(server, id=None, poll={"at": "/polling_url"}))
        assert len(server.requests) == 1
    assert caught.value.error_kind == "foreign_host"


async def test_the_result_is_at_an_address_made_of_fields_of_the_answer() -> None:
    """A history keyed by the id, and a view composed of three fields, as ComfyUI has them."""
    outputs = {"9": {"images": [{"filename": "a b&c.png", "subfolder": "", "type": "output"}]}}
    history = {"p-1": {"status": {"status_str": "success"}, "outputs": outputs}}
    async with raw_server() as server:
        server.answers = [
            answer({"prompt_id": "p-1"}),
            answer({}),
            answer(history),
            http("200 OK", "\x01image", "image/png"),
        ]
        instance = polled(
            server,
            id="/prompt_id",
            poll={"url": f"{server.url}/history/{{id}}"},
            state={"at": "/{id}/status/status_str", "succeeded": ["success"], "failed": ["error"]},
            result={"url": f"{server.url}/view?filename={{$..filename}}&type={{$..type}}"},
            output={"kind": "bytes"},
        )
        _, data = await make(instance)
    assert data == b"\x01image"
    assert server.requests[-1].startswith("GET /view?filename=a%20b%26c.png&type=output ")


async def test_a_form_carries_texts_and_files(tmp_path: Path) -> None:
    """Multipart, also without a file; a row's own options are fields too."""
    (tmp_path / "a.png").write_bytes(IMAGE)
    form = {"prompt": "{prompt}", "seed": "{seed}", "strength": "0.5", "image": "{image}", "extra": {"a": 1}}
    async with raw_server(answer({"image": ENCODED})) as server:
        create = {"method": "POST", "url": f"{server.url}/make", "form": form}
        instance = described(server, create=create)
        async with opened(instance) as (backend, job):
            plain = replace(job, backend_opts={"strength": None, "style": "photo"})
            await backend.submit(plain, attempt=1)
            image = ReferenceImage(address=str(tmp_path / "a.png"), sha256=hashlib.sha256(IMAGE).hexdigest())
            await backend.submit(replace(job, image=image), attempt=1)
    assert "multipart/form-data" in server.requests[0]
    for name in ("prompt", "seed", "style", "extra"):
        assert f'name="{name}"' in server.requests[0]
    assert 'name="strength"' not in server.requests[0]
    assert 'filename="' not in server.requests[0]
    assert 'name="image"; filename="image"' in server.requests[1]
    assert "image/png" in server.requests[1]


async def test_a_session_is_asked_for_once_and_anew_where_it_has_ended() -> None:
    """The value of a call before stands in the others; a 401 proves that nothing was created, so the create is repeated."""
    before = {"method": "POST", "url": "", "body": {"login": "x"}, "value": "/session_id"}
    async with raw_server() as server:
        before["url"] = f"{server.url}/session"
        image = answer({"image": ENCODED})
        server.answers = [
            answer({"session_id": "s-1"}), image, image, answer({"error": "invalid_session_id"}, "401 Unauthorized"),
            answer({"session_id": "s-2"}), image,
        ]  # fmt: skip
        create = {"method": "POST", "url": f"{server.url}/make", "body": {"text": "{prompt}", "session": "{token}"}}
        instance = described(server, before=before, create=create)
        async with opened(instance) as (backend, job):
            for _ in range(3):
                await backend.submit(job, attempt=1)
    assert [request.split(" ")[1] for request in server.requests] == [
        "/session", "/make", "/make", "/make", "/session", "/make"
    ]  # fmt: skip
    assert ["s-1" in request for request in server.requests] == [False, True, True, True, False, False]
    assert "s-2" in server.requests[-1]


async def test_a_program_prints_the_token(tmp_path: Path) -> None:
    """Named by a configuration file, it runs without a shell; its failure stops the batch and shows no token."""
    program = tmp_path / "token"
    program.write_text("#!/bin/sh\nprintf 'ya29.secret\\n'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    async with raw_server(
        answer({"image": ENCODED}), answer({"error": "bad ya29.secret"}, "400 Bad Request")
    ) as server:
        headers = {"Authorization": "Bearer {token}"}
        create = {"method": "POST", "url": f"{server.url}/make", "headers": headers, "body": {"text": "{prompt}"}}
        instance = described(server, create=create, token_command=[str(program)])
        config = tmp_path / "imagen.yaml"
        config.write_text(json.dumps({"default_backend": NAME, "backends": {NAME: instance}}))
        backend = build_backend(NAME, load_settings(config))
        await backend.submit(make_instance_job(instance), attempt=1)
        with pytest.raises(Rejected, match=r"bad \*\*\*"):
            await backend.submit(make_instance_job(instance), attempt=1)
        await backend.close()
        assert "authorization: bearer ya29.secret\r\n" in server.requests[0].lower()
        program.write_text("#!/bin/sh\necho 'not logged in' >&2; exit 3\n")
        backend = build_backend(NAME, load_settings(config))
        with pytest.raises(BatchStopped, match="not logged in"):
            await backend.submit(make_instance_job(instance), attempt=1)
        await backend.close()


@pytest.mark.parametrize(
    ("condition", "document", "headers"),
    [
        ({"at": "/data/0/is_image_safe", "is": False}, {"image": ENCODED, "data": [{"is_image_safe": False}]}, {}),
        (
            {"header": "finish-reason", "is": "CONTENT_FILTERED"},
            {"image": ENCODED},
            {"finish_reason": "CONTENT_FILTERED"},
        ),
        (
            {"at": "$.candidates[*].finishReason", "is": ["SAFETY", "IMAGE_SAFETY"]},
            {"candidates": [{"finishReason": "IMAGE_SAFETY"}]},
            {},
        ),
        (
            {"at": "/promptFeedback/blockReason", "contains": ["prohibited"]},
            {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
            {},
        ),
    ],
)
async def test_a_value_of_an_answer_can_be_a_refusal(condition: Any, document: Any, headers: dict[str, str]) -> None:
    """Booleans and headers too; whether it is billed is what the configuration knows."""
    for billed, cost in ((True, 40_000), (False, 0), (None, None)):
        async with raw_server(answer(document, **headers)) as server:
            with pytest.raises(Refused) as caught:
                await make(described(server, refused_when=[condition], refusals_are_billed=billed))
        assert caught.value.cost_micros == cost


@pytest.mark.parametrize("value", [0, None, "false", [False], True])
async def test_a_condition_compares_by_type_too(value: Any) -> None:
    """0 and a text are not `false`: no image is refused by a likeness."""
    condition = {"at": "/safe", "is": False}
    async with raw_server(answer({"image": ENCODED, "safe": value})) as server:
        assert (await make(described(server, refused_when=[condition])))[1] == IMAGE


@pytest.mark.parametrize(
    ("cost", "document", "headers", "micros"),
    [
        ("/usage/cost", {"usage": {"cost": 0.05}}, {}, 50_000),
        ({"at": "/credits", "times": 0.001}, {"credits": 35}, {}, 35_000),
        ({"at": "/usage/cost_in_usd_ticks", "times": 1e-10}, {"usage": {"cost_in_usd_ticks": 200_000_000}}, {}, 20_000),
        ({"header": "x-litellm-response-cost"}, {}, {"x_litellm_response_cost": "0.008754"}, 8_754),
        ("/usage/cost_in_usd_ticks", {"usage": {"cost_in_usd_ticks": 200_000_000}}, {}, 40_000),
        ("/credits", {"credits": 35}, {}, None),
        ("/credits", {"credits": -1}, {}, 40_000),
        ("/credits", {"credits": True}, {}, 40_000),
        ("/credits", {"credits": "1e999"}, {}, 40_000),
        ("/credits", {"credits": 10**400}, {}, 40_000),
        ("/credits", {}, {}, 40_000),
    ],
)
async def test_a_cost_has_a_unit_and_is_believed_within_reason(
    cost: Any, document: Any, headers: Any, micros: Any
) -> None:
    """What is 100 times the expected price is another unit: unknown, not a cost; what is no price leaves the configured one."""
    async with raw_server(answer({"image": ENCODED, **document}, **headers)) as server:
        assert (await make(described(server, cost=cost)))[0].cost_micros == micros


async def test_the_cost_may_stand_in_the_answer_to_the_create() -> None:
    """A polled service that says its price once, at the start."""
    async with raw_server(answer({"id": "1", "cost": 5}), answer({"status": "Ready", "image": ENCODED})) as server:
        ended, _ = await make(polled(server, cost={"at": "/cost", "times": 0.01, "in": "create"}))
    assert (ended.cost_micros, ended.cost_source) == (50_000, "reported")


NO: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    (
        "400 Bad Request",
        {
            "error": {
                "code": 400,
                "status": "INVALID_ARGUMENT",
                "message": "API key not valid. Please pass a valid API key.",
                "details": [{"reason": "API_KEY_INVALID"}],
            }
        },
        BatchStopped,
        "token",
    ),
    (
        "400 Bad Request",
        {"code": "invalid-argument", "error": "Incorrect API key provided: xa***."},
        BatchStopped,
        "token",
    ),
    (
        "400 Bad Request",
        {"error": {"message": "No connected db.", "type": "no_db_connection", "code": "400"}},
        BatchStopped,
        "token",
    ),
    (
        "400 Bad Request",
        {
            "error": {
                "message": "Your request was rejected by the safety system.",
                "type": "image_generation_user_error",
                "code": "400",
            }
        },
        Refused,
        "",
    ),
    (
        "403 Forbidden",
        {"name": "content_moderation", "errors": ["Your request was flagged by our content moderation system"]},
        Refused,
        "",
    ),
    ("422 Unprocessable Entity", {"detail": [{"loc": ["body", "w"], "msg": "too wide"}]}, Rejected, "too wide"),
    (
        "429 Too Many Requests",
        {"error": {"message": "You exceeded your current quota", "type": "throttling_error"}},
        BatchStopped,
        "credit",
    ),
    (
        "429 Too Many Requests",
        {"error": {"message": "You exceeded your current quota", "details": [{"retryDelay": "48s"}]}},
        Throttled,
        "quota",
    ),
    ("429 Too Many Requests", {"error": "daily limit of images"}, BatchStopped, "credit"),
    ("403 Forbidden", {"detail": "User is locked. Reason: Exhausted balance."}, BatchStopped, "credit"),
    ("500 Internal Server Error", {"error": {"type": "internal_server_error"}}, Ambiguous, "500"),
]


@pytest.mark.parametrize("case", range(len(NO)))
async def test_what_a_service_says_with_a_no_is_read_from_the_usual_places(case: int) -> None:
    """Whatever `error` names, which is where a prediction says it: refusals, keys, balances and quotas are told apart."""
    status, document, error, said = NO[case]
    async with raw_server(answer(document, status)) as server:
        instance = described(server, error="/task/failure", quota=["daily limit"])
        async with opened(instance) as (backend, job):
            with pytest.raises(error) as caught:
                await backend.submit(job, attempt=1)
    text = f"{getattr(caught.value, 'reason', '')} {caught.value}"
    assert said in text
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after_s == 48


async def test_a_web_page_in_place_of_an_answer_is_not_the_key_s_fault() -> None:
    """A firewall's 403 says nothing about the key, and nothing was created."""
    page = http("403 Forbidden", "<html>Just a moment...</html>", "text/html")
    async with raw_server(page) as server, opened(described(server)) as (backend, job):
        with pytest.raises(BatchStopped, match="web page") as caught:
            await backend.submit(job, attempt=1)
    assert caught.value.reason == "blocked"


@pytest.mark.parametrize(
    ("output", "body"),
    [
        ({"kind": "base64", "at": "/nowhere"}, json.dumps({"image": ENCODED})),
        ({"kind": "base64", "at": "/image"}, json.dumps({"image": "*" + ENCODED})),
        ({"kind": "bytes"}, "<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ({"kind": "bytes"}, json.dumps({"error": "worker crashed"})),
    ],
)
async def test_a_paid_answer_that_cannot_be_read_is_kept_and_read_again(output: dict[str, Any], body: str) -> None:
    """It is carried as it came, at its price; with the right configuration it gives its image without a call."""
    async with raw_server(http("200 OK", body)) as server:
        with pytest.raises(UnreadableAnswer) as caught:
            await make(described(server, output=output))
        assert (caught.value.raw.decode(), caught.value.cost_micros) == (body, 40_000)
        async with opened(described(server)) as (backend, job):
            kept = json.dumps({"image": ENCODED}).encode()
            assert await backend.fetch(job, backend.reread(job, kept)) == IMAGE
        assert len(server.requests) == 1


async def test_a_lost_prediction_is_found_by_its_own_id() -> None:
    """A look-up that answers with the prediction itself, or with 404."""
    for answers, expected in (([answer({"id": "j-1"})], "j-1"), ([answer({}, "404 Not Found")], None)):
        async with raw_server(*answers) as server:
            find = {"url": f"{server.url}/t/{{job_id}}", "items": None, "id": "/id", "patience_s": 0}
            async with opened(polled(server, find=find)) as (backend, job):
                found = await backend.find(job, since=START, known=())
        assert (found and found.prediction_id) == expected


async def test_relative_addresses_of_images_have_a_base() -> None:
    """`View/a.png` lies where the configuration says, not beside the call that made it."""
    async with raw_server() as server:
        server.answers = [answer({"image": "View/a.png"}), http("200 OK", "\x01image")]
        output = {"kind": "url", "at": "/image", "base": f"{server.url}/files/"}
        assert (await make(described(server, output=output)))[1] == b"\x01image"
    assert server.requests[1].startswith("GET /files/View/a.png ")
