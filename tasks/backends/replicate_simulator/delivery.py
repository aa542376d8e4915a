"""The host that hands out the files, and the foreign host that must never be asked."""

from __future__ import annotations

from aiohttp import hdrs, web

from tasks.backends.replicate_simulator.answers import as_page, dropped
from tasks.backends.replicate_simulator.outcomes import SUCCEEDED, Request
from tasks.backends.replicate_simulator.pictures import CONTENT_TYPES
from tasks.backends.replicate_simulator.predictions import Prediction
from tasks.backends.replicate_simulator.provider import Provider

PAGE = "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body></body></html>\n"
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
        made, index = prediction.request, prediction.outcome.files.index(name)
        return self._replaced(request, made) or await self._picture(request, made, index)

    async def foreign(self, request: web.Request) -> web.StreamResponse:
        """What a redirect to another host leads to."""
        self._count("foreign", request)
        return as_page(PAGE, 200)

    def _has(self, prediction: Prediction, name: str) -> bool:
        there = prediction.status(self._provider.now_s()) == SUCCEEDED and name in prediction.outcome.files
        return there and not self._provider.is_gone(prediction)

    def _count(self, kind: str, request: web.Request) -> None:
        self._provider.tally.requests[kind] += 1
        self._provider.tally.token_leaks += hdrs.AUTHORIZATION in request.headers

    def _strikes(self, name: str, made: Request) -> bool:
        return self._provider.plan.strikes(name, made.prediction_id, made.prompt) is not None

    def _replaced(self, request: web.Request, made: Request) -> web.StreamResponse | None:
        """What a fault answers instead of a picture."""
        for name, status in (("file_404", 404), ("file_500", 500)):
            if self._strikes(name, made):
                return web.Response(status=status)
        if self._strikes("html_instead_of_image", made):
            return as_page(PAGE, 200)
        if REDIRECTED in request.query:
            return None
        if self._strikes("redirect_file", made):
            return _redirect(f"{self._provider.delivery_url}{request.path}?{REDIRECTED}=1")
        if self._strikes("redirect_foreign", made):
            return _redirect(f"{self._provider.foreign_url}/foreign{request.path}")
        return None

    async def _picture(self, request: web.Request, made: Request, index: int) -> web.StreamResponse:
        data = made.picture(index)
        kind = made.kind
        if self._strikes("wrong_content_type", made):
            kind = "webp" if kind == "png" else "png"
        if self._strikes("truncated_file", made):
            data = data[: len(data) // 2]
        slow = self._provider.plan.strikes("slow_file", made.prediction_id, made.prompt)
        is_dropped = self._strikes("dropped_file", made)
        if slow or is_dropped:
            return await self._in_halves(
                request, data, kind, pause_s=slow.seconds if slow else 0, is_dropped=is_dropped
            )
        return web.Response(body=data, content_type=CONTENT_TYPES[kind])

    async def _in_halves(
        self, request: web.Request, data: bytes, kind: str, *, pause_s: float, is_dropped: bool
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": CONTENT_TYPES[kind], "Content-Length": str(len(data))})
        await answer.prepare(request)
        half = len(data) // 2
        await answer.write(data[:half])
        await self._provider.clock.sleep(pause_s)
        if is_dropped:
            return dropped(request)
        await answer.write(data[half:])
        await answer.write_eof()
        return answer


def _redirect(url: str) -> web.Response:
    return web.Response(status=302, headers={"Location": url})
