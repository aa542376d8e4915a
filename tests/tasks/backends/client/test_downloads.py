"""Fetching pictures: whole, bounded, from allowed hosts, and without the token."""

from __future__ import annotations

import base64
import gc

import httpx
import pytest

from tasks.backends.client import downloads as delivery
from tasks.backends.client.downloads import Delivery
from tasks.core.errors import BadImage, JobError, OutputGone, Unfetched
from tests.support.raw_server import http, raw_server
from tests.support.scripted_backend import picture

HOSTS = ["127.0.0.1", "*.replicate.delivery"]


async def fetch(address: str) -> bytes:
    """One fetch."""
    source = Delivery(HOSTS, connections=2)
    try:
        return await source.fetch(address)
    finally:
        await source.close()


async def test_a_picture_comes_whole_and_without_the_token() -> None:
    """Whatever content type and suffix say; the bytes are looked at later."""
    async with raw_server(http("200 OK", "pixels", "application/octet-stream")) as server:
        assert await fetch(f"{server.url}/out-0.webp") == b"pixels"
    assert "authorization" not in server.requests[0].lower()


async def test_nothing_but_the_caller_holds_the_bytes_of_a_picture() -> None:
    """Answers that wait for the garbage collector hold none: a thousand images would be a gigabyte."""
    gc.collect()  # what earlier tests left
    gc.disable()
    try:
        async with raw_server(http("200 OK", "pixels")) as server:
            await fetch(f"{server.url}/out-0.webp")
        answers = [found for found in gc.get_objects() if type(found) is httpx.Response]
        assert not [answer for answer in answers if getattr(answer, "_content", b"") == b"pixels"]
    finally:
        gc.enable()


@pytest.mark.parametrize("encoded", [True, False])
async def test_data_addresses_need_no_host(encoded: bool) -> None:  # noqa: FBT001  a case
    """Some models answer with the picture itself."""
    data = picture()
    address = "data:image/png;base64," + base64.b64encode(data).decode() if encoded else "data:text/plain,a%20fox"
    assert await fetch(address) == (data if encoded else b"a fox")


@pytest.mark.parametrize(
    ("answer", "error", "kind"),
    [
        (http("404 Not Found"), OutputGone, "output_gone"),
        (http("403 Forbidden"), OutputGone, "output_gone"),
        (http("500 Internal Server Error"), Unfetched, "unfetched"),
        (http("200 OK", "pixels", Connection="close")[:-2], Unfetched, "unfetched"),
        (None, Unfetched, "unfetched"),
        (http("302 Found", Location="http://evil.example/x.png"), JobError, "foreign_host"),
        (http("302 Found", Location="file:///etc/passwd"), JobError, "foreign_host"),
        (http("302 Found", Location="/again"), JobError, "foreign_host"),
        (http("302 Found", Location="http://[not-an-address/"), JobError, "foreign_host"),
    ],
)
async def test_what_can_go_wrong(answer: bytes | None, error: type[JobError], kind: str) -> None:
    """What may be fetched again, what is gone, and what is never followed."""
    async with raw_server(answer) as server:
        with pytest.raises(JobError) as caught:
            await fetch(f"{server.url}/out-0.png")
    assert (type(caught.value), caught.value.error_kind) == (error, kind)


async def test_a_redirect_on_an_allowed_host_is_followed() -> None:
    """Once is usual; each step is checked."""
    async with raw_server(http("302 Found", Location="/there"), http("200 OK", "pixels")) as server:
        assert await fetch(f"{server.url}/here") == b"pixels"


@pytest.mark.parametrize(
    "address", ["https://evil.example/x", "https://replicate.delivery.evil.example/x", "ftp://127.0.0.1/x", "x"]
)
async def test_other_hosts_are_never_asked(address: str) -> None:
    """An output that points elsewhere is an error with the host's name."""
    with pytest.raises(JobError, match="delivery_hosts"):
        await fetch(address)


async def test_a_picture_that_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by a size cap."""
    monkeypatch.setattr(delivery, "MOST_IMAGE_BYTES", 10)
    async with raw_server(http("200 OK", "x" * 11)) as server:
        with pytest.raises(JobError, match="larger than 10 bytes"):
            await fetch(f"{server.url}/out-0.png")


async def test_damaged_data_addresses_are_bad_images() -> None:
    """Not a traceback."""
    with pytest.raises(BadImage, match="damaged"):
        await fetch("data:image/png;base64,***")
