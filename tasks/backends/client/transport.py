"""The transport of httpx's requests: over aiohttp, each one once, through the environment's proxy, with a bounded answer.

Every error is one of httpx's.
"""

from __future__ import annotations

import base64
import os
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import TYPE_CHECKING, cast

import httpx

from tasks.backends.client.proxies import ProxyRefused, UnusableProxy, find_proxy
from tasks.core.errors import BatchStopped, ConfigError

if TYPE_CHECKING:
    from tasks.backends.client.connections import Pool

CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables of OpenSSL's that httpx reads."""
MIB = 1024 * 1024
# A page of 100 predictions with their inputs has less than 1 MiB.
MOST_JSON_BYTES = 16 * MIB
"""Of an answer, decoded; a call that expects an image asks for more."""
MOST_IMAGE_BYTES = 64 * MIB
MOST_BYTES = "most_bytes"
"""Key of a request's extensions: the most bytes that its answer may have."""
ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""Content encodings that are decoded, with zlib's word for each."""
UNREAD_ENCODINGS = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"})
"""The registered ones that are not; any other word, such as `aws-chunked`, `utf-8` or `none`, says nothing about the bytes."""
_OF_THE_ENCODED_BODY = ("content-encoding", "content-length", "content-md5", "content-digest", "x-goog-hash")
GZIP = b"\x1f"
"""First byte of a member."""
# Decoded piece by piece, so that a small compressed body that decodes to gigabytes stops at the bound.
PART_BYTES = 64 * 1024
MOST_SERVERS = 256
"""Servers whose proxy is remembered."""


class TooLarge(httpx.DecodingError):
    """Raised when an answer is longer than its bound. Reading stopped there."""


class Transport(httpx.AsyncBaseTransport):
    """Connections to services, one pool for each proxy; usable inside one event loop."""

    def __init__(self, *, limits: httpx.Limits) -> None:
        """Keep to these limits.

        Raises:
            BatchStopped: SSL_CERT_FILE or SSL_CERT_DIR cannot be used, so nothing can be sent.
        """
        # Only for a client: aiohttp takes 0.15 s to load, and a plan, or a finished batch run again, sends nothing through it.
        from tasks.backends.client.connections import Pool  # noqa: PLC0415

        self._limits = limits
        self._open_pool: type[Pool] = Pool
        self._pools: dict[str, Pool] = {}
        self._proxies: dict[tuple[str, str, int | None], httpx.Proxy | None] = {}
        try:
            self._ssl_context = build_ssl_context()
        except ConfigError as exc:
            raise BatchStopped("certificates", f"{exc}. Correct the variable, then resume") from exc

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer. Its body is read, decoded and bounded by whoever reads it."""
        try:
            proxy = self._find_proxy(request.url)
        except UnusableProxy as exc:
            raise httpx.ProxyError(str(exc), request=request) from exc
        # A pool for each proxy and login: aiohttp keeps connections by host, whatever proxy they went through.
        name = "" if proxy is None else str((proxy.url, proxy.raw_auth))
        if name not in self._pools:
            carrier = None if proxy is None else _move_login(proxy)
            self._pools[name] = self._open_pool(verify=self._ssl_context, limits=self._limits, proxy=carrier)
        # A small part of zstd or br can decode to gigabytes at once, so neither is asked for or decoded.
        request.headers["accept-encoding"] = "gzip"
        if proxy is None:
            answer = await self._pools[name].handle_async_request(request)
        else:
            answer = await _send_through(proxy, self._pools[name], request)
        return bound_answer(answer, most_bytes=request.extensions.get(MOST_BYTES, MOST_JSON_BYTES))

    def _find_proxy(self, url: httpx.URL) -> httpx.Proxy | None:
        # The environment is read once for each server: going through it takes longer than building a request.
        server = (url.scheme, url.host, url.port)
        if server not in self._proxies:
            # Hosts of outputs come from answers: nothing bounds how many there are.
            if len(self._proxies) >= MOST_SERVERS:
                self._proxies.clear()
            self._proxies[server] = find_proxy(url)
        return self._proxies[server]

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.aclose()


def build_ssl_context() -> ssl.SSLContext:
    """The certificates that are trusted: SSL_CERT_FILE or SSL_CERT_DIR where set, else those of certifi.

    Raises:
        ConfigError: The variable's file cannot be used.
    """
    try:
        return _read_certificates(*map(os.environ.get, CERTIFICATE_VARIABLES))
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(f"SSL_CERT_FILE or SSL_CERT_DIR holds no certificates that can be read ({exc})") from exc


@cache
def _read_certificates(*_: str | None) -> ssl.SSLContext:
    # Once for all clients of a process: reading the certificates takes tens of milliseconds of CPU.
    return httpx.create_ssl_context()


async def _send_through(proxy: httpx.Proxy, pool: Pool, request: httpx.Request) -> httpx.Response:
    """The answer that came through the proxy.

    Raises:
        httpx.ProxyError: The proxy cannot be reached, or lets nothing through; its cause proves that nothing was sent.
    """
    try:
        answer = await pool.handle_async_request(request)
    except httpx.ProxyError as exc:
        if getattr(exc.__cause__, "status", None) == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            raise _build_refusal(proxy, request) from ProxyRefused(proxy)
        raise httpx.ProxyError(f"through the proxy {proxy.url}: {exc}", request=request) from exc.__cause__
    # A proxy answers requests to http:// itself; no service behind it may send this status (RFC 9110, section 15.5.8).
    if answer.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        await answer.aclose()
        raise _build_refusal(proxy, request) from ProxyRefused(proxy)
    return answer


def _build_refusal(proxy: httpx.Proxy, request: httpx.Request) -> httpx.ProxyError:
    return httpx.ProxyError(str(ProxyRefused(proxy)), request=request)


def _move_login(proxy: httpx.Proxy) -> httpx.Proxy:
    """The proxy with its login as a header; aiohttp renames it, and sends it to the proxy only."""
    if proxy.auth is None:
        return proxy
    login = base64.b64encode(":".join(proxy.auth).encode()).decode()
    return httpx.Proxy(proxy.url, headers={"Authorization": f"Basic {login}"})


def bound_answer(answer: httpx.Response, *, most_bytes: int) -> httpx.Response:
    """The same answer, whose body is decoded here and never longer than `most_bytes`.

    Raises:
        httpx.DecodingError: Its content encoding is stacked, or none that was asked for.
    """
    stated = answer.headers.get("content-encoding", "").lower()
    # Storages keep words of an upload here (S3 `aws-chunked`), and every other client takes such a body as it comes.
    encodings = [word for part in stated.split(",") if (word := part.strip()) in ENCODINGS or word in UNREAD_ENCODINGS]
    encoding = encodings[0] if encodings else ""
    # Stacked encodings ("gzip, gzip") are no service's, but the usual form of a decompression bomb.
    if len(encodings) > 1 or encoding in UNREAD_ENCODINGS:
        raise httpx.DecodingError(f"the answer's encoding is not understood ({stated[:40]})", request=answer.request)
    if encoding:
        for name in _OF_THE_ENCODED_BODY:
            answer.headers.pop(name, None)
    # In place: another answer would hold this one, and both would be built for every call.
    answer.stream = _BoundedStream(answer, encoding=encoding, most_bytes=most_bytes)
    return answer


class _BoundedStream(httpx.AsyncByteStream):
    """The body of an answer, decoded piece by piece up to its bound."""

    def __init__(self, answer: httpx.Response, *, encoding: str, most_bytes: int) -> None:
        # Not the answer itself, which holds this stream: the two would wait for the garbage collector.
        self._request, self._parts = answer.request, cast("httpx.AsyncByteStream", answer.stream)
        self._most_bytes = most_bytes
        self._decoder = zlib.decompressobj(ENCODINGS[encoding]) if encoding in ENCODINGS else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = left_encoded = self._most_bytes
        async for encoded in self._parts:
            # An encoded body that never gives any content is endless too.
            left_encoded -= len(encoded)
            for part in self._decode(encoded):
                # One byte over the bound is reported as too large rather than cut off: a cut image would look damaged.
                left -= len(part)
                if left >= 0:
                    yield part
                self._require_room(min(left, left_encoded))
            self._require_room(left_encoded)
        # zlib raises nothing for a body that simply ends early.
        if self._decoder is not None and not self._decoder.eof:
            raise httpx.DecodingError("the answer's encoded body is not whole", request=self._request)

    def _require_room(self, left: int) -> None:
        if left < 0:
            raise TooLarge(f"the answer is larger than {self._most_bytes:,} bytes", request=self._request)

    def _decode(self, encoded: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            yield encoded
            return
        try:
            # `decompress` with a length gives one part, and keeps the rest of the input as the tail.
            while encoded:
                if self._decoder.eof:
                    # A gzip file may have several members (RFC 1952, section 2.2); anything else behind it is not a part.
                    if not encoded.startswith(GZIP):
                        return
                    self._decoder = zlib.decompressobj(ENCODINGS["gzip"])
                yield self._decoder.decompress(encoded, PART_BYTES)
                encoded = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
        except zlib.error as exc:
            raise httpx.DecodingError(f"the answer cannot be decoded ({exc})", request=self._request) from exc

    async def aclose(self) -> None:
        await self._parts.aclose()
