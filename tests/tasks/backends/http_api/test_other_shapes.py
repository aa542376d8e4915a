"""Shapes of answers that no preset has and a stranger's API may: each against a real server on loopback."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.answers import read_output
from tasks.backends.http_api.events import parse_events
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.refused import is_refused
from tasks.backends.http_api.reported import read_cost
from tasks.backends.http_api.sections import Cost
from tasks.core.errors import Refused, UnreadableAnswer
from tests.support.fakes.named_service import build_instance
from tests.support.raw_server import http, raw_server
from tests.tasks.backends.http_api.test_powers import ENCODED, IMAGE, answer, described, make, opened, polled


def binary(body: bytes, content_type: str = "image/png") -> bytes:
    """An answer that is no text."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def zipped(**files: bytes) -> bytes:
    """A zip file."""
    with zipfile.ZipFile(kept := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return kept.getvalue()


def mixed(*parts: tuple[str, bytes]) -> bytes:
    """A body of several parts."""
    return b"".join(
        b"--edge\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + data + b"\r\n" for kind, data in parts
    ) + (b"--edge--\r\n")


async def test_a_task_named_by_a_header_is_polled_by_status_and_its_result_led_to() -> None:
    """202 with Location and no body; 404 until every server knows it; 202 while it runs; 303 to the image."""
    async with raw_server() as server:
        server.answers = [
            http("202 Accepted", Location="/tasks/7"),
            http("404 Not Found", "{}"),
            http("202 Accepted"),
            http("303 See Other", Location=f"{server.url}/results/7"),
            binary(IMAGE),
        ]
        instance = polled(server, id=None, poll={"at": "header:location"}, state="status", output={"kind": "bytes"})
        _, data = await make(instance)
    assert data == IMAGE
    asked = [request.split(" ")[:2] for request in server.requests]
    assert asked == [["POST", "/make"], *[["GET", "/tasks/7"]] * 3, ["GET", "/results/7"]]


async def test_a_create_may_lead_to_its_task() -> None:
    """303 says that it was done (RFC 9110); without a place for the id nobody knows of what."""
    async with raw_server(
        http("303 See Other", Location="/tasks/8"), answer({"status": "Ready", "image": ENCODED})
    ) as server:
        assert (await make(polled(server, id=None, poll={"at": "header:location"})))[1] == IMAGE


async def test_a_key_does_not_follow_a_redirect_to_the_storage() -> None:
    """A host of images is asked without it."""
    async with raw_server(binary(IMAGE)) as storage, raw_server() as server:
        there = storage.url.replace("127.0.0.1", "localhost")
        server.answers = [answer({"id": "1"}), answer({"status": "Ready"}), http("302 Found", Location=f"{there}/x")]
        headers = {"X-Key": "{model}"}
        instance = polled(
            server,
            poll={"url": f"{server.url}/t/{{id}}", "headers": headers},
            result={"url": f"{server.url}/r/{{id}}", "headers": headers},
            output={"kind": "bytes"},
            delivery_hosts=["localhost"],
        )
        assert (await make(instance))[1] == IMAGE
    assert "x-key: m" in server.requests[-1].lower()
    assert "x-key" not in storage.requests[0].lower()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (zipped(**{"readme.txt": b"{}", "image_0.png": IMAGE}), "binary/octet-stream"),
        (mixed(("application/json", b"{}"), ("image/png", IMAGE)), 'multipart/mixed; boundary="edge"'),
    ],
)
async def test_an_image_inside_something_else_is_taken_out(body: bytes, content_type: str) -> None:
    """A zip file, and one part of several, whole to the last byte."""
    async with raw_server(binary(body, content_type)) as server:
        assert (await make(described(server, output={"kind": "bytes"})))[1] == IMAGE


@pytest.mark.parametrize(
    "make_body",
    [lambda: b"PK\x03\x04 no zip file", lambda: zipped(a=b"{}"), lambda: zipped(a=bytes(70 * 2**20))],
    ids=["damaged", "without", "large"],
)
async def test_a_zip_file_without_an_image_is_kept_as_an_answer(make_body: Callable[[], bytes]) -> None:
    """Damaged, empty or too large: it was paid for, and nothing is unpacked beyond the bound."""
    body = make_body()
    async with raw_server(binary(body, "application/zip")) as server:
        with pytest.raises(UnreadableAnswer, match="unpacked") as caught:
            await make(described(server, output={"kind": "bytes"}))
    assert (caught.value.raw, caught.value.cost_micros) == (body, 40_000)


@pytest.mark.parametrize(
    "body",
    [
        f': hello\nevent: a\ndata: {{"type": "partial", "b64": "AAAA"}}\n\ndata: {{"type": "done",\ndata: "b64": "{ENCODED}"}}\n\ndata: [DONE]\n\n',
        f'{{"type": "partial", "b64": "AAAA", "text": "a\u2028b"}}\r\n{{"type": "done", "b64": "{ENCODED}"}}\r\n',
    ],
)
async def test_events_and_lines_are_a_list(body: str) -> None:
    """A JSONPath chooses among them; partial images are not taken for the last one."""
    async with raw_server(http("200 OK", body, "text/event-stream")) as server:
        output = {"kind": "base64", "at": "$[?@.type == 'done'].b64"}
        assert (await make(described(server, output=output)))[1] == IMAGE


@pytest.mark.parametrize("body", [b"", b"<html>", b"data: x\n\n", IMAGE, b'{"a": 1}\nnot json'])
def test_anything_else_is_no_list_of_events(body: bytes) -> None:
    """A page, an image, half a line."""
    with pytest.raises(ValueError, match=r"."):
        parse_events(body)


@pytest.mark.parametrize(
    ("stated", "micros"),
    [("$0.03", 30_000), ("0.03 USD", 30_000), ("US$ 0.03", 30_000), ("3e-2", 30_000), ("€0.03", None), ("free", None)],
)
def test_a_price_for_people_is_read(stated: str, micros: int | None) -> None:
    """Dollars with their sign; another currency is no price."""
    assert read_cost(Answer(document={"cost": stated}), Cost(at="/cost")) == micros


FLAGS: list[tuple[list[Any], list[bool], list[str]]] = [
    (["AA==", "BB=="], [False, False], ["AA==", "BB=="]),
    (["AA==", "BB==", None, "DD=="], [False, True, True, False], ["AA==", "DD=="]),
    (["AA=="], [False, True], []),
    (["AA==", "BB=="], [True, True], []),
]


@pytest.mark.parametrize(("images", "flags", "kept"), FLAGS)
def test_some_images_of_an_answer_may_be_held_back(images: list[Any], flags: list[bool], kept: list[str]) -> None:
    """Flags in the number of the images say which; any other number of them refuses the answer."""
    options = HttpOptions.model_validate(
        {
            "create": {"method": "POST", "url": "https://a.example/x", "body": {"p": "{prompt}"}},
            "output": {"kind": "url", "at": "$.images[*]"},
            "refused_when": [{"at": "$.nsfw[*]", "is": True}],
        }
    )
    found = Answer(document={"images": images, "nsfw": flags})
    assert is_refused(found, options) == (not kept)
    if kept:
        output = read_output(found, options, "")
        assert [output.address, *(one.address for one in output.further)] == kept


async def test_a_login_is_sent_as_oauth_wants_it_and_renewed_where_it_has_expired() -> None:
    """Urlencoded; a 403 or a value of the answer that says so is answered with a new token, and nothing was created."""
    expired = answer({"message": "The security token included in the request is expired"}, "403 Forbidden")
    ended = answer({"error_id": "invalid_session_id"})
    async with raw_server() as server:
        image = answer({"image": ENCODED})
        server.answers = [
            answer({"access_token": "t-1"}), image, expired, answer({"access_token": "t-2"}), image,
            ended, answer({"access_token": "t-3"}), image,
        ]  # fmt: skip
        fields = {"grant_type": "client_credentials", "client_id": "a&b"}
        before = {"method": "POST", "url": f"{server.url}/token", "fields": fields, "value": "/access_token",
                  "renew_when": [{"at": "/error_id", "is": "invalid_session_id"}]}  # fmt: skip
        create = {
            "method": "POST",
            "url": f"{server.url}/make",
            "headers": {"Authorization": "Bearer {token}"},
            "body": {"text": "{prompt}"},
        }
        async with opened(described(server, before=before, create=create)) as (backend, job):
            for _ in range(3):
                await backend.submit(job, attempt=1)
    assert "application/x-www-form-urlencoded" in server.requests[0]
    assert server.requests[0].endswith("grant_type=client_credentials&client_id=a%26b")
    assert [request.split(" ")[1] for request in server.requests].count("/token") == 3
    assert "Bearer t-3" in server.requests[-1]


HOSTILE = 'a "fox" \\ {seed} ${HOME} {{x}} {env:HOME} {/etc/passwd}\n{token} ü 🦊'


async def test_a_prompt_is_never_read_as_a_template() -> None:
    """Braces, quotes, line ends and names of variables travel as they are, in a body, a form and an address."""
    parts: list[dict[str, Any]] = [
        {"body": {"text": "{prompt}", "long": "x {prompt} y"}},
        {"form": {"text": "{prompt}"}},
    ]
    async with raw_server(answer({"image": ENCODED})) as server:
        for content in parts:
            create = {"method": "POST", "url": f"{server.url}/make", **content}
            async with opened(described(server, create=create)) as (backend, job):
                await backend.submit(replace(job, prompt=HOSTILE, seed=-(2**40)), attempt=1)
    said = json.loads(server.requests[0].partition("\r\n\r\n")[2])
    expected = HOSTILE.replace("\n", " ")
    assert said == {"text": expected, "long": f"x {expected} y"}
    assert expected in server.requests[1]


@pytest.mark.parametrize(
    ("row", "body", "problem"),
    [
        ({"negative_prompt": "fog"}, {}, "negative_prompt"),
        ({"steps": 4}, {}, "steps"),
        ({"steps": 4, "negative_prompt": "fog"}, {"n": "{negative_prompt}", "s": "{steps}"}, None),
        ({"width": 512, "height": 512}, {}, "size"),
        ({"aspect_ratio": "16:9"}, {}, "size"),
        ({"aspect_ratio": "16:9"}, {"w": "{width}"}, "aspect_ratio"),
        ({"aspect_ratio": "16:9"}, {"size": "{shape}"}, None),
        ({"width": 512, "height": 512}, {"r": "{aspect_ratio}"}, None),
    ],
)
async def test_what_no_placeholder_sends_is_told_before_anything_is_paid(
    row: dict[str, Any], body: dict[str, Any], problem: str | None
) -> None:
    """A row's wish that the service would not hear of is a mistake with its name."""
    async with raw_server(answer({})) as server:
        create = {"method": "POST", "url": server.url, "body": {"text": "{prompt}", **body}}
        async with opened(described(server, create=create)) as (backend, job):
            problems = backend.problems(replace(job, **row))
    assert [text.partition(":")[0] for text in problems] == ([problem] if problem else [])


async def test_a_refusal_by_a_4xx_may_be_billed() -> None:
    """Where the configuration knows that it is, its cost is not nothing; it is never sent again."""
    document = {"error": {"code": "contentFilter", "message": "your request was flagged by the content filter"}}
    for billed, cost in ((True, 40_000), (None, 0)):
        async with (
            raw_server(answer(document, "400 Bad Request")) as server,
            opened(described(server, refusals_are_billed=billed)) as (backend, job),
        ):
            with pytest.raises(Refused) as caught:
                await backend.submit(job, attempt=1)
        assert caught.value.cost_micros == cost


async def test_calls_are_signed_in_place_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service by name keeps its description and needs no other key; no secret travels, and none goes to a storage."""
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token")
    async with raw_server(answer({"images": [ENCODED], "finish_reasons": [None]})) as server:
        instance = build_instance("bedrock", server.url, sign={"aws": "bedrock", "region": "us-west-2"})
        async with opened(instance) as (backend, _):
            assert backend.ready() == "set AWS_SECRET_ACCESS_KEY"
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
        assert (await make(instance))[1] == IMAGE
    head = server.requests[0].lower()
    assert "authorization: aws4-hmac-sha256 credential=akid/" in head
    assert "us-west-2/bedrock/aws4_request" in head
    assert "x-amz-security-token: session-token" in head
    assert "bearer" not in head
    assert "very-secret" not in head
