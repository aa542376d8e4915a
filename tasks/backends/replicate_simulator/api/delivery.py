"""The host that hands out the files, and the foreign host that must never be asked."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from aiohttp import hdrs, web
from multidict import CIMultiDict

from tasks.backends.replicate_simulator.api.answers import build_page, drop_connection
from tasks.backends.replicate_simulator.images import CONTENT_TYPES
from tasks.backends.replicate_simulator.outcomes import SUCCEEDED, Request
from tasks.backends.replicate_simulator.predictions import Prediction
from tasks.backends.replicate_simulator.provider import Provider

PAGE = "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body></body></html>\n"
CRC_BYTES = 16_384
"""Largest file with a CRC-32C: Python computes some megabytes of it a second, and the simulator must not be slow."""
REDIRECTED = "again"
"""Query of an address that was redirected to; it is not redirected another time."""


class Delivery:
    """`/delivery/xezq/{id}/{file}` on a host of its own."""

    def __init__(self, provider: Provider) -> None:
        """Hand out the files of `provider`."""
        self._provider = provider

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One file, whole and right unless a fault strikes."""
        self._count("delivery", request)
        prediction = self._provider.find(request.match_info["id"])
        name = request.match_info["file"]
        if prediction is None or not self._has(prediction, name):
            return web.Response(status=404)
        # The index in the name is the image's, and missing ones keep their places.
        made, index = prediction.request, prediction.outcome.files.index(name)
        return self._replaced(request, made) or await self._send_image(request, made, index)

    async def foreign(self, request: web.Request) -> web.StreamResponse:
        """The target of a redirect to another host."""
        self._count("foreign", request)
        return build_page(PAGE, 200)

    def _has(self, prediction: Prediction, name: str) -> bool:
        there = prediction.status(self._provider.now_s()) == SUCCEEDED and name in prediction.outcome.files
        return there and not self._provider.is_gone(prediction)

    def _count(self, kind: str, request: web.Request) -> None:
        self._provider.tally.requests[kind] += 1
        # The token has no business at the files' host: each one that comes is a leak.
        self._provider.tally.token_leaks += hdrs.AUTHORIZATION in request.headers

    def _strikes(self, name: str, made: Request) -> bool:
        return self._provider.plan.strikes(name, made.subject, made.prompt) is not None

    def _replaced(self, request: web.Request, made: Request) -> web.StreamResponse | None:
        """Return the answer of a fault in place of an image."""
        for name, status in (("file_404", 404), ("file_500", 500)):
            if self._strikes(name, made):
                return web.Response(status=status)
        if self._strikes("html_instead_of_image", made):
            return build_page(PAGE, 200)
        # Once redirected is enough; a second time would be a loop, which is another fault.
        if REDIRECTED in request.query:
            return None
        if self._strikes("redirect_file", made):
            return _build_redirect(f"{self._provider.delivery_url}{request.path}?{REDIRECTED}=1")
        if self._strikes("redirect_foreign", made):
            return _build_redirect(f"{self._provider.foreign_url}/foreign{request.path}")
        return None

    async def _send_image(self, request: web.Request, made: Request, index: int) -> web.StreamResponse:
        data = made.render(index)
        kind, hashes = made.kind, build_hash_headers(data)
        if self._strikes("wrong_content_type", made):
            kind = "webp" if kind == "png" else "png"
        if self._strikes("truncated_file", made):
            data = data[: len(data) // 2]
        slow = self._provider.plan.strikes("slow_file", made.subject, made.prompt)
        is_dropped = self._strikes("dropped_file", made)
        if slow or is_dropped:
            return await self._in_halves(
                request, data, kind, hashes, pause_s=slow.seconds if slow else 0, is_dropped=is_dropped
            )
        return web.Response(body=data, content_type=CONTENT_TYPES[kind], headers=hashes)

    async def _in_halves(
        self,
        request: web.Request,
        data: bytes,
        kind: str,
        hashes: CIMultiDict[str],
        *,
        pause_s: float,
        is_dropped: bool,
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers=hashes)
        answer.headers.update({"Content-Type": CONTENT_TYPES[kind], "Content-Length": str(len(data))})
        await answer.prepare(request)
        half = len(data) // 2
        await answer.write(data[:half])
        await self._provider.clock.sleep(pause_s)
        if is_dropped:
            return drop_connection(request)
        await answer.write(data[half:])
        await answer.write_eof()
        return answer


def build_hash_headers(data: bytes) -> CIMultiDict[str]:
    """Headers of Replicate's storage about a whole file (recorded in 2024-08): ETag, and a line for each hash."""
    md5 = hashlib.md5(data, usedforsecurity=False)
    headers = CIMultiDict({"ETag": f'"{md5.hexdigest()}"', "Cache-Control": "public,max-age=3600"})
    # CRC-32C is slow in Python, and the simulator must not be slower than the service.
    if len(data) <= CRC_BYTES:
        headers.add("x-goog-hash", f"crc32c={_to_base64(compute_crc32c(data).to_bytes(4))}")
    headers.add("x-goog-hash", f"md5={_to_base64(md5.digest())}")
    return headers


def compute_crc32c(data: bytes) -> int:
    """The CRC-32C of RFC 3720, byte by byte."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _build_crc_entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE = tuple(map(_build_crc_entry, range(256)))


def _to_base64(digest: bytes) -> str:
    return b64encode(digest).decode()


def _build_redirect(url: str) -> web.Response:
    return web.Response(status=302, headers={"Location": url})
