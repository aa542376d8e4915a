"""A proxy on loopback before a service that works: what belongs to hostile jobs comes back with something wrong in it."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

HOSTILE = "hostile"
"""Word in the prompts whose answers are spoiled."""
VALUES: list[Any] = [
    *(None, True, False, -1, 0, 10**30, -(10**30), 1e308, float("nan"), float("-inf"), 0.1),
    *("", "\x00", "\ud800", "\x1b]8;;http://evil.example\x07x", "\u202e", "..", "/etc/passwd", "x" * 100_000),
    *("data:image/png;base64,####", "file:///etc/passwd", "http://127.0.0.1:1/x.png", "=1+1", "<img src=x onerror=y>"),
    *([], {}, [[]], [None], {"": ""}, [{}] * 1000, {"id": {"id": []}}, ["a", 1, None], {"$ref": "#"}),
]
"""What stands where something else is expected."""
DEEP = b"[" * 100_000
_ID = re.compile(r"[\w-]{4,80}")


Forward = Callable[[str, str, dict[str, str], bytes], Awaitable[tuple[int, dict[str, str], bytes]]]


@dataclass
class Exchange:
    """A request and its honest answer."""

    method: str
    path: str
    body: bytes
    status: int
    kind: str
    answer: bytes


@dataclass
class HostileServer:
    """The proxy: the address to call, the service behind it, and what was done."""

    chance: random.Random
    share: float
    """Share of the answers of hostile jobs that are spoiled."""
    forward: Forward = field(init=False)
    """Asks the service."""
    spoils_shared: bool = False
    """True if lists, which belong to nobody, are spoiled too."""
    url: str = ""
    spoiled: int = 0
    _hostile: set[str] = field(default_factory=set)
    """Ids and paths of the hostile jobs' predictions."""
    _healthy: set[str] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's first request, and close it."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if ": " in line)
            lowered = {name.lower(): value for name, value in headers.items()}
            body = await self._read_body(reader, lowered)
            method, path, _ = first.split(" ")
            status, kept, answer = await self.forward(method, path, headers, body)
            exchange = Exchange(method, path, body, status, kept.get("Content-Type", ""), answer)
            writer.write(self._answer(exchange, kept))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, aiohttp.ClientError, asyncio.LimitOverrunError):
            pass  # a client that has read enough, or a service that drops the connection
        finally:
            writer.close()

    @staticmethod
    async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await reader.readexactly(int(headers.get("content-length", 0)))
        parts = []
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(parts)

    def _answer(self, exchange: Exchange, headers: dict[str, str]) -> bytes:
        ways = self._choose_ways(exchange)
        if not ways or self.chance.random() > self.share:
            return build_answer(exchange.status, {**headers, "Content-Type": exchange.kind}, exchange.answer)
        self.spoiled += 1
        return self.chance.choice(ways)(self, exchange)

    def _choose_ways(self, exchange: Exchange) -> Sequence[Callable[[HostileServer, Exchange], bytes]]:
        """Ways to spoil it: all for what belongs to a hostile job, and none for what belongs to a healthy one."""
        if exchange.method == "POST":
            is_hostile = HOSTILE.encode() in exchange.body
            (self._hostile if is_hostile else self._healthy).update(find_ids(exchange.answer))
            return _WAYS if is_hostile else ()
        if any(mark in exchange.path for mark in self._hostile):
            return _WAYS
        is_shared = exchange.method == "GET" and not any(mark in exchange.path for mark in self._healthy)
        # A list may break as a whole; what it says of a healthy job stays true.
        return _SHARED_WAYS if self.spoils_shared and is_shared else ()

    def spoil_value(self, exchange: Exchange) -> bytes:
        """One value of the JSON is another, or is gone."""
        try:
            value = json.loads(exchange.answer)
        except ValueError:
            return self.spoil_image(exchange)
        places = find_places(value)
        if not places:
            return build_answer(exchange.status, {"Content-Type": exchange.kind}, b"null")
        *at, last = self.chance.choice(places)
        inner = value
        for key in at:
            inner = inner[key]
        if self.chance.random() < 0.2:
            del inner[last]
        else:
            inner[last] = self.chance.choice(VALUES)
        return build_answer(exchange.status, {"Content-Type": exchange.kind}, json.dumps(value).encode())

    def spoil_image(self, exchange: Exchange) -> bytes:
        """Something else, or a bomb, where an image is expected."""
        data = self.chance.choice(
            [
                exchange.answer[: len(exchange.answer) // 2],
                b"",
                build_png(30_000, 30_000),
                build_png(0, 0),
                build_png(2**31 - 1, 1),
                b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x00\x00\x00;",
                b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>",
                b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x00tEXt\x00\x00\x00\x00" * 50_000,
                b"RIFF\xff\xff\xff\xffWEBPVP8X",
                b"\x00\x00\x00\x1cftypavif" + b"\xff" * 64,
                b"II*\x00\xff\xff\xff\xff",
            ]
        )
        return build_answer(exchange.status, {"Content-Type": exchange.kind or "image/png"}, data)

    def spoil_body(self, exchange: Exchange) -> bytes:
        """A body of another kind."""
        body = self.chance.choice(
            [
                *(b"", b"null", b"[]", b"0", b"{", b"<html>gateway</html>", b"\xff\xfe\x00", DEEP, b'"' + b"a" * 10**6),
                *(b'{"a":' * 5_000, exchange.answer[:-2], exchange.answer * 2, b"NaN", b"1" * 10_000),
                exchange.answer.decode("utf-8", "replace").encode("utf-16"),
            ]
        )
        return build_answer(exchange.status, {"Content-Type": exchange.kind}, body)

    def spoil_transport(self, exchange: Exchange) -> bytes:
        """Headers, lengths and encodings that contradict the body."""
        kind, body = {"Content-Type": exchange.kind}, exchange.answer
        zeros = gzip.compress(b"0" * 100_000_000, 9) if self.chance.random() < 0.1 else gzip.compress(body)
        ways: list[Callable[[], bytes]] = [
            lambda: b"",
            lambda: b"no HTTP at all\r\n\r\n",
            lambda: build_answer(exchange.status, kind, body)[: -max(1, len(body) // 2)],
            lambda: build_answer(exchange.status, {**kind, "Content-Encoding": "gzip"}, zeros),
            lambda: build_answer(exchange.status, {**kind, "Content-Encoding": "gzip, gzip"}, gzip.compress(zeros)),
            lambda: build_answer(exchange.status, {**kind, "Content-Encoding": "deflate"}, zlib.compress(body)[:-3]),
            *(
                lambda name=name: build_answer(exchange.status, {**kind, "Content-Encoding": name}, body)
                for name in ("br", "zstd", "gzip", "x\x1b[2J")
            ),
            lambda: build_answer(exchange.status, {**kind, "X-Long": "x" * 100_000}, body),
            lambda: build_answer(exchange.status, {**kind, "Retry-After": "9" * 400}, body),
            lambda: build_answer(exchange.status, {"Content-Type": "text/html; charset=\x1b[31m"}, body),
            lambda: build_answer(exchange.status, {"Content-Type": "application/json; charset=utf-7"}, body),
            lambda: f"HTTP/1.1 {exchange.status} \r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n".encode() + body,
        ]
        return self.chance.choice(ways)()

    def redirect(self, exchange: Exchange) -> bytes:
        """Somewhere else, or to itself."""
        target = self.chance.choice(
            [self.url + exchange.path, "file:///etc/passwd", "http://127.0.0.1:1/", f"{self.url}/elsewhere", "", "//["]
        )
        return build_answer(self.chance.choice([301, 302, 303, 307, 308]), {"Location": target}, b"")

    def break_status(self, exchange: Exchange) -> bytes:
        """A status of trouble; it may have been made all the same, so no status here says that it was not."""
        status = self.chance.choice([200, 201, 204, 206, 304, 500, 502, 503, 504, 520, 599, 600, 999])
        return build_answer(status, {"Content-Type": "text/plain"}, b"trouble \x1b[2J\x00 <b>")


_WAYS = [
    *[HostileServer.spoil_value] * 6,
    HostileServer.spoil_body,
    HostileServer.spoil_transport,
    HostileServer.redirect,
    HostileServer.break_status,
    HostileServer.spoil_image,
]
_SHARED_WAYS = [
    HostileServer.spoil_body,
    HostileServer.spoil_transport,
    HostileServer.redirect,
    HostileServer.break_status,
]


def find_places(value: Any) -> list[list[Any]]:
    """The way to each value inside a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, inner in parts for way in ([key], *([key, *rest] for rest in find_places(inner)))]


def find_ids(answer: bytes) -> list[str]:
    """Ids that an answer gives, under names such as `id`, and the paths of its addresses."""
    try:
        value = json.loads(answer)
    except ValueError:
        return []
    found = []
    for way in find_places(value):
        inner = value
        for key in way:
            inner = inner[key]
        if isinstance(inner, str) and str(way[-1]).lower().endswith("id") and _ID.fullmatch(inner):
            found.append(inner)
        elif isinstance(inner, str) and inner.startswith("http"):
            found.append("/" + inner.split("/", 3)[-1])
        elif isinstance(inner, str) and inner.endswith(".png"):  # an address that its service completes
            found.append(f"/{inner}")
    return found


def build_answer(status: int, headers: dict[str, str], body: bytes) -> bytes:
    """An answer after which the connection closes."""
    lines = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} said\r\n{head}\r\n".encode("latin-1") + body


def build_png(width: int, height: int) -> bytes:
    """A PNG whose header promises this many pixels, and that holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@asynccontextmanager
async def forward_to(
    upstream: str,
) -> AsyncIterator[Forward]:
    """Calls of a real server, as the proxy makes them."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def forward(
            method: str, path: str, headers: dict[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            kept = {name: value for name, value in headers.items() if name.lower() not in _HOP}
            async with session.request(
                method, upstream + path, headers=kept, data=body or None, allow_redirects=False
            ) as answer:
                names = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
                return answer.status, names, await answer.read()

        yield forward


_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
"""Headers of one connection."""


@asynccontextmanager
async def serve_hostile(server: HostileServer) -> AsyncIterator[HostileServer]:
    """The proxy, for the duration of the block."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**20)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
