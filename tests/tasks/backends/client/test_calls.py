"""What the HTTP backends share: what an answer proves, when to come again, and what never stands in a message."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest

from tasks.backends.client.answers import parse_json_object, read_retry_after
from tasks.backends.client.calls import HttpCalls, build_refusal
from tasks.core.errors import Ambiguous, BatchStopped, NotCreated, Rejected, Throttled
from tests.support.raw_server import http, raw_server

PROOFS = {
    301: Rejected,
    303: Ambiguous,
    307: Rejected,
    400: Rejected,
    401: BatchStopped,
    402: BatchStopped,
    403: BatchStopped,
    404: Rejected,
    405: Rejected,
    408: Ambiguous,
    409: Ambiguous,
    413: Rejected,
    422: Rejected,
    425: Ambiguous,
    429: Throttled,
    500: Ambiguous,
    503: Ambiguous,
}


@pytest.mark.parametrize("status", PROOFS)
def test_what_a_status_proves(status: int) -> None:
    """Only a clear no lets a call that costs money be forgotten; the rest may have been done."""
    error = build_refusal(httpx.Response(status), "no", service="example", key_env="MY_KEY")
    assert type(error) is PROOFS[status]
    if isinstance(error, Ambiguous):
        assert error.cost_micros is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("soon", None), ("Tue, 01 Jan 2019 00:00:00 GMT", 0.0)],
)
def test_when_to_come_again(value: str, seconds: float | None) -> None:
    """A number or a date; what is neither says nothing."""
    assert read_retry_after(httpx.Response(429, headers={"retry-after": value})) == seconds
    assert read_retry_after(httpx.Response(429)) is None


def test_a_number_without_end_costs_no_more_than_itself() -> None:
    """Python reads no number of thousands of digits, and an image that was paid for may stand beside one."""
    body = b'{"image": "x", "width": 64, "odd": ' + b"9" * 100_000 + b"}"
    assert parse_json_object(httpx.Response(200, content=body)) == {"image": "x", "width": 64, "odd": float("inf")}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_an_answer_that_is_no_object_is_an_empty_one(body: bytes) -> None:
    """Whoever reads it need not ask."""
    assert parse_json_object(httpx.Response(200, content=body)) == {}


async def test_secrets_never_stand_in_a_message() -> None:
    """Neither as they are nor as an address quotes them; a message is one line of bounded length."""
    calls = HttpCalls(secrets=["a/b+c", ""], connections=1)
    words = calls.error_text("bad key a/b+c\nat http://x/?k=a%2Fb%2Bc " + "x" * 1000)
    await calls.close()
    assert words.startswith("bad key *** at http://x/?k=*** xxx")
    assert len(words) == 500


async def test_a_secret_that_is_a_part_of_another_hides_neither() -> None:
    """The longer one is taken out first, so that no end of it is left."""
    calls = HttpCalls(secrets=["abc", "abcdef"], connections=1)
    assert calls.error_text("abcdef abc") == "*** ***"
    await calls.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
async def test_a_call_that_costs_money_is_sent_once(method: str) -> None:
    """Whatever its method: a dropped one is not repeated unseen, not even on a connection that was used before."""
    calls = HttpCalls(connections=1)
    async with raw_server(http("200 OK", "{}"), None, http("200 OK", "{}")) as server:
        await calls.pay("POST", server.url)
        with pytest.raises(Ambiguous, match="lost"):
            await calls.pay(method, server.url)
        assert len(server.requests) == 2
    await calls.close()


@pytest.mark.parametrize(
    "content",
    [
        {"json": {"scale": float("nan")}},
        {"json": {"prompt": "half a character \ud83d"}},
        {"headers": {"X-Key": "\u201ckey\u201d"}},
        {"url": "http://127.0.0.1:80O0/"},
    ],
)
async def test_what_cannot_be_written_was_never_sent(content: dict[str, Any]) -> None:
    """It is wrong, not lost: nobody looks for it, and it is not held."""
    calls = HttpCalls(connections=1)
    with pytest.raises(Rejected, match="cannot be sent"):
        await calls.pay("POST", **{"url": "http://127.0.0.1:1/", **content})
    await calls.close()


async def test_an_answer_that_is_no_http_says_nothing() -> None:
    """It is one of httpx's errors, as every other trouble on the way, and holds no part of the address."""
    calls = HttpCalls(connections=1)
    async with raw_server(b"garbage\r\n\r\n") as server:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await calls.http.get(f"{server.url}/?key=secret")
        with pytest.raises(Ambiguous):
            await calls.pay("POST", server.url)
    await calls.close()
    assert "secret" not in str(caught.value)


async def test_a_call_that_never_left_is_told_from_one_that_was_lost() -> None:
    """Refused, dropped, broken off, too late."""
    calls = HttpCalls(connections=2)
    with pytest.raises(NotCreated):
        await calls.pay("POST", "http://127.0.0.1:1/")
    for answer in (None, http("200 OK", "whole", Connection="close")[:-2]):
        async with raw_server(answer) as server:
            with pytest.raises(Ambiguous, match="lost"):
                await calls.pay("POST", server.url)
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") as server:
        with pytest.raises(Ambiguous, match="none within 2 s"):
            await calls.pay("POST", server.url, timeout_s=2.0)
    await calls.close()


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after-ms": "1500"}, {}, 1.5),
        ({"retry-after": "1m30s"}, {}, 90),
        ({}, {"retry_after_ms": 2_500}, 2.5),
        ({}, {"error": {"retryAfter": "2026-11-24T12:00:30Z"}}, 30),
        ({"x-ratelimit-reset-requests": "250ms"}, {}, 0.25),
        ({"x-ratelimit-reset": "1795521630"}, {}, 30),
        ({"x-ratelimit-reset": "1795521630000"}, {}, 30),
        ({"ratelimit-reset": "12"}, {}, 12),
        ({"x-ratelimit-reset": "2026-11-24T12:00:30+00:00"}, {}, 30),
        ({"x-ratelimit-reset": "soon"}, {"retry_after_ms": True}, None),
    ],
)
def test_a_pause_is_read_however_it_is_written(headers: dict[str, str], body: dict[str, Any], seconds: float) -> None:
    """Seconds, milliseconds, durations, dates, and instants by the service's own clock."""
    dated = {"date": "Tue, 24 Nov 2026 12:00:00 GMT", **headers}
    refusal = build_refusal(httpx.Response(429, headers=dated, json=body), "slowly", service="a", key_env=None)
    assert isinstance(refusal, Throttled)
    assert refusal.retry_after_s == seconds


@pytest.mark.parametrize("base", ["", "http://localhost:1/v1"])
async def test_an_address_that_is_remembered_is_the_one_that_httpx_builds(base: str) -> None:
    """However often a path is asked for, and whatever stood beside it before: `params` of one call are in no other."""
    calls, plain = HttpCalls(base=base, connections=1), httpx.AsyncClient(base_url=base)
    host = "" if base else "http://localhost:2"
    for path in (
        "/a/b",
        "c%2Fd?x=1&y=%20z",
        "/e f?q=\u00fc",
        "http://127.0.0.1:3/next?cursor=%3D",
        "http://127.0.0.1:3",
    ):
        url = path if path.startswith("http") else f"{host}/{path.lstrip('/')}" if host else path
        for params in ({"n": 1}, None, {"n": 2}, None, None):
            built, expected = (client.build_request("GET", url, params=params) for client in (calls.http, plain))
            assert (built.url, str(built.url), built.headers["host"]) == (
                expected.url,
                str(expected.url),
                expected.headers["host"],
            )
    await calls.close()
    await plain.aclose()


def test_a_backend_loads_no_client_until_it_sends() -> None:
    """A plan and a finished batch that is run again build a backend and send nothing: aiohttp would be a tenth of their time."""
    code = "import sys, tasks.backends.replicate.backend; print('aiohttp' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "False"
