"""Digests that a storage sends with a file."""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64encode

import pytest

from tasks.backends.client.downloads import Delivery
from tasks.core.errors import Unfetched
from tests.support.raw_server import http, raw_server
from tests.support.scripted_backend import picture

BODY = "pixels"


def digest(name: str, data: bytes = BODY.encode()) -> str:
    """The digest in base64."""
    return b64encode(hashlib.new(name, data, usedforsecurity=False).digest()).decode()


RIGHT = [
    {"X-Goog-Hash": f"crc32c=yZRlqg==,md5={digest('md5')}"},
    {"Content-MD5": digest("md5")},
    {"Content-Digest": f"sha-256=:{digest('sha256')}:"},
]
WRONG = [
    {"X-Goog-Hash": f"crc32c=yZRlqg==,md5={digest('md5', b'other')}"},
    {"Content-MD5": digest("md5", b"other")},
    {"Content-Digest": f"sha-256=:{digest('sha256', b'other')}:"},
    {"Content-MD5": digest("md5"), "Content-Digest": f"sha-256=:{digest('sha256', b'other')}:"},
]
SILENT = [
    {"X-Goog-Hash": "crc32c=yZRlqg=="},
    {"X-Goog-Hash": "md5=not base64"},
    {"X-Goog-Hash": "md5=AAAA"},
    {"X-Goog-Hash": f"md5={digest('md5', b'other')}", "X-Goog-Stored-Content-Encoding": "gzip"},
    {"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'},
    {"Content-Digest": "sha-512=:AAAA:"},
]


async def fetch(body: bytes, headers: dict[str, str]) -> bytes:
    """One fetch from a host that sends this."""
    source = Delivery(["127.0.0.1"], connections=1)
    head = f"Content-Length: {len(body)}\r\n" + "".join(f"{name}: {text}\r\n" for name, text in headers.items())
    async with raw_server(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body) as server:
        try:
            return await source.fetch(f"{server.url}/out-0.webp")
        finally:
            await source.close()


@pytest.mark.parametrize("headers", [*RIGHT, *SILENT])
async def test_bytes_that_are_the_storages_own_pass(headers: dict[str, str]) -> None:
    """A digest that fits, or that says nothing about these bytes, lets them pass."""
    assert await fetch(BODY.encode(), headers) == BODY.encode()


@pytest.mark.parametrize("headers", WRONG)
async def test_other_bytes_are_fetched_again(headers: dict[str, str]) -> None:
    """A digest that differs is `Unfetched`, which is tried again at no cost; the strongest one decides."""
    with pytest.raises(Unfetched, match="differs"):
        await fetch(BODY.encode(), headers)


@pytest.mark.parametrize("name", ["Content-MD5", "Content-Digest", "X-Goog-Hash"])
async def test_a_digest_of_compressed_bytes_says_nothing_about_the_plain_ones(name: str) -> None:
    """An answer that comes compressed has the digest of what was sent, and its image is whole all the same."""
    packed = gzip.compress(BODY.encode())
    values = {
        "Content-MD5": digest("md5", packed),
        "Content-Digest": f"sha-256=:{digest('sha256', packed)}:",
        "X-Goog-Hash": f"md5={digest('md5', packed)}",
    }
    assert await fetch(packed, {"Content-Encoding": "gzip", name: values[name]}) == BODY.encode()


async def test_a_png_is_left_to_its_own_checksums() -> None:
    """No digest is computed for a PNG: each of its bytes has a checksum already."""
    data = picture()
    assert await fetch(data, {"Content-MD5": digest("md5", b"other")}) == data


async def test_lines_of_one_header_are_read_together() -> None:
    """Google's storage sends `x-goog-hash` once for each digest."""
    source = Delivery(["127.0.0.1"], connections=1)
    lines = f"x-goog-hash: crc32c=yZRlqg==\r\nx-goog-hash: md5={digest('md5', b'other')}"
    async with raw_server(http("200 OK", BODY).replace(b"\r\n\r\n", f"\r\n{lines}\r\n\r\n".encode(), 1)) as server:
        with pytest.raises(Unfetched, match="md5 differs"):
            await source.fetch(f"{server.url}/out-0.webp")
    await source.close()
