"""What each answer to a create proves: the table on which no money is spent twice."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from tasks.backends.replicate.api import ReplicateApi, parse_throttled
from tasks.backends.replicate.options import ModelReference
from tasks.core.errors import (
    Ambiguous,
    BatchStopped,
    ImagenError,
    JobError,
    NotCreated,
    OutputGone,
    Rejected,
    Throttled,
)
from tests.support.raw_server import http, raw_server

SCHNELL = ModelReference("black-forest-labs/flux-schnell", None)
CREATED = '{"id": "hdwst0bb05rgp0cf0p29mzk2am", "status": "starting", "urls": {}}'
INSUFFICIENT = (
    '{"title": "Insufficient credit", "detail": "You have insufficient credit to run this model.", "status": 402}'
)
INVALID = '{"detail": "- input: prompt is required\\n", "status": 422, "title": "Input validation failed"}'
LOW_CREDIT = (
    "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a burst "
    "of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~7s."
)


@asynccontextmanager
async def open_api(base: str) -> AsyncIterator[ReplicateApi]:
    """The API at an address, closed at the end."""
    api = ReplicateApi(base=base, token="r8_secret", token_env="MY_TOKEN", connections=4)
    try:
        yield api
    finally:
        await api.close()


async def create(base: str, model: ModelReference = SCHNELL) -> dict[str, object]:
    """One create."""
    async with open_api(base) as api:
        return await api.create(model, {"prompt": "a fox", "seed": 7}, cancel_after_s=60)


PROVES = {
    "401 names the variable": (http("401 Unauthorized", '{"detail": "no"}'), BatchStopped, "MY_TOKEN"),
    "403 is the token too": (http("403 Forbidden"), BatchStopped, "MY_TOKEN"),
    "402 stops the batch": (http("402 Payment Required", INSUFFICIENT), BatchStopped, "insufficient credit"),
    "404 created nothing": (http("404 Not Found", '{"detail": "no such model"}'), Rejected, "no such model"),
    "422 created nothing": (http("422 Unprocessable Entity", INVALID), Rejected, "prompt is required"),
    "400 created nothing": (http("400 Bad Request"), Rejected, "Bad Request"),
    "429 created nothing": (http("429 Too Many Requests", json.dumps({"detail": LOW_CREDIT})), Throttled, "throttled"),
    "500 proves nothing": (http("500 Internal Server Error"), Ambiguous, "500"),
    "502 in HTML proves nothing": (http("502 Bad Gateway", "<html>", "text/html"), Ambiguous, "502"),
    "504 proves nothing": (http("504 Gateway Timeout"), Ambiguous, "504"),
    "409 proves nothing": (http("409 Conflict"), Ambiguous, "409"),
    "a 2xx that cannot be read proves nothing": (http("201 Created", '{"id": 17'), Ambiguous, "could not be read"),
    "a 2xx without an id proves nothing": (http("201 Created", "[]"), Ambiguous, "could not be read"),
    "half an answer proves nothing": (http("201 Created", CREATED, Connection="close")[:-20], Ambiguous, "lost"),
    "a closed connection proves nothing": (None, Ambiguous, "lost"),
}


@pytest.mark.parametrize("case", PROVES)
async def test_what_an_answer_to_a_create_proves(case: str) -> None:
    """Only proof that nothing was created lets a create be sent again unseen."""
    answer, error, fragment = PROVES[case]
    async with raw_server(answer, None) as server:
        with pytest.raises(ImagenError, match=fragment) as caught:
            await create(server.url)
    assert type(caught.value) is error
    if isinstance(caught.value, Ambiguous):
        assert caught.value.cost_micros is None
    assert len(server.requests) == 1


async def test_a_connection_that_was_never_made_proves_that_nothing_was_created() -> None:
    """Refused: the one transport error after which a create is sent again without a look."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NotCreated, match="cannot be reached"):
            await create(f"http://127.0.0.1:{taken.getsockname()[1]}")


async def test_a_create_says_who_and_when_to_stop() -> None:
    """Path by the kind of reference, the token, `Cancel-After`, and the input as it is."""
    async with raw_server(http("201 Created", CREATED)) as server:
        assert (await create(server.url))["status"] == "starting"
        await create(server.url, ModelReference("stability-ai/sdxl", "abc"))
    official, versioned = server.requests
    assert official.startswith("POST /v1/models/black-forest-labs/flux-schnell/predictions ")
    assert "authorization: bearer r8_secret" in official.lower()
    assert "cancel-after: 60s" in official.lower()
    assert json.loads(official.split("\r\n\r\n")[1]) == {"input": {"prompt": "a fox", "seed": 7}}
    assert versioned.startswith("POST /v1/predictions ")
    assert json.loads(versioned.split("\r\n\r\n")[1])["version"] == "stability-ai/sdxl:abc"


@pytest.mark.parametrize(
    ("headers", "body", "after_s", "per_min"),
    [
        ({"retry-after": "3"}, {"detail": LOW_CREDIT, "retry_after": 7}, 3.0, 6.0),
        ({}, {"detail": LOW_CREDIT, "retry_after": 7}, 7.0, 6.0),
        ({}, {"detail": "Request was throttled. Your rate limit resets in ~30s."}, 30.0, None),
        ({}, {"detail": "Request was throttled."}, None, None),
        ({}, None, None, None),
    ],
)
def test_when_to_come_again(
    headers: dict[str, str], body: dict[str, object] | None, after_s: float | None, per_min: float | None
) -> None:
    """The header first, then the body, then its words; the stated rate beside it."""
    content = b"<html>" if body is None else json.dumps(body).encode()
    error = parse_throttled(httpx.Response(429, headers=headers, content=content))
    assert (error.retry_after_s, error.creates_per_min) == (after_s, per_min)


def test_when_to_come_again_as_a_date() -> None:
    """RFC 9110 allows a date in the header."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    after_s = parse_throttled(httpx.Response(429, headers={"retry-after": later})).retry_after_s
    assert after_s is not None
    assert 80 < after_s <= 90


@pytest.mark.parametrize("elsewhere", ["http://evil.example", "https://127.0.0.1", "http://127.0.0.1:1"])
async def test_the_list_is_followed_to_its_end_and_never_elsewhere(elsewhere: str) -> None:
    """Pages come by the provider's own cursor; the token goes to no other host, port or scheme."""
    seen: list[str] = []

    async def read(api: ReplicateApi) -> None:
        async for page in api.list_created(datetime(2026, 11, 24, 10, tzinfo=UTC)):
            seen.extend(item["id"] for item in page)

    async with raw_server() as server, open_api(server.url) as api:
        first = {"results": [{"id": "a"}], "next": f"{server.url}/v1/predictions?cursor=x"}
        foreign = {"results": [{"id": "b"}], "next": f"{elsewhere}/v1/predictions?cursor=y"}
        server.answers = [http("200 OK", json.dumps(first)), http("200 OK", json.dumps(foreign))]
        with pytest.raises(httpx.DecodingError, match="somewhere else"):
            await read(api)
    assert seen == ["a", "b"]
    assert "created_after=2026-11-24T10:00:00%2B00:00" in server.requests[0]
    assert server.requests[1].startswith("GET /v1/predictions?cursor=x ")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http("404 Not Found"), OutputGone),
        (http("401 Unauthorized"), BatchStopped),
        (http("429 Too Many Requests"), httpx.HTTPStatusError),
        (http("500 Internal Server Error"), httpx.HTTPStatusError),
        (http("200 OK", "<html>", "text/html"), httpx.DecodingError),
        (http("200 OK", "[]"), httpx.DecodingError),
        (http("200 OK", '{"detail": "try later"}'), httpx.DecodingError),
        (None, httpx.HTTPError),
    ],
)
async def test_what_an_answer_to_a_look_says(answer: bytes | None, error: type[Exception]) -> None:
    """Trouble with a look says nothing about the prediction, except that it is not known any more."""
    async with raw_server(answer) as server, open_api(server.url) as api:
        with pytest.raises(error) as caught:
            await api.get("p")
    assert not isinstance(caught.value, JobError) or caught.value.cost_micros is None
