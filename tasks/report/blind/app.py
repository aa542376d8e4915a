"""The page of a blind comparison: behind a random token, and it names no file, batch or model before the results."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.report.blind.answering import Answer, Answering
from tasks.report.blind.pairs import Side
from tasks.report.gallery.page import PageAssets, render_page
from tasks.report.review.guards import HEADERS, read_body, refuse
from tasks.report.review.pages import PageSession, build_guarded_app, record, send

ASSETS = PageAssets(files("tasks.report.blind") / "assets", ("blind.css",), ("results.js", "blind.js"))
TITLE = "Which image is better?"


@dataclass(slots=True, kw_only=True)
class BlindSession(PageSession):
    """One comparison, and the address of its page."""

    answering: Answering


def build_app(session: BlindSession) -> Starlette:
    """The application that answers the browser."""
    pages, base = _BlindPages(session), f"/{session.token}"
    routes = [
        Route(f"{base}/", pages.show_page),
        Route(f"{base}/state", pages.show_state),
        Route(f"{base}/results", pages.show_results),
        Route(f"{base}/answers", pages.answer, methods=["POST"]),
        Route(f"{base}/undo", pages.undo, methods=["POST"]),
        Route(f"{base}/image/{{pair}}/{{side}}", pages.send_image),
    ]
    return build_guarded_app(session, routes)


@dataclass(frozen=True, slots=True)
class _BlindPages:
    """The answers to the browser."""

    session: BlindSession

    async def show_page(self, _request: Request) -> Response:
        """The page, which then asks for its first pair."""
        return Response(render_page(TITLE, {}, talks=True, assets=ASSETS), media_type="text/html", headers=HEADERS)

    async def show_state(self, _request: Request) -> Response:
        """The progress, and the next pair."""
        return JSONResponse(self.session.answering.describe(), headers=HEADERS)

    async def show_results(self, _request: Request) -> Response:
        """The results so far; they name the models, but no side of any pair."""
        return JSONResponse(await self.session.answering.build_results(), headers=HEADERS)

    async def answer(self, request: Request) -> Response:
        """Record an answer."""

        async def act() -> None:
            await self.session.answering.answer(Answer.model_validate_json(await read_body(request)))

        return await self._write(request, act)

    async def undo(self, request: Request) -> Response:
        """Take the last answer back."""
        return await self._write(request, self.session.answering.undo)

    async def send_image(self, request: Request) -> Response:
        """The image on one side of a pair, without its name."""
        pair, side = self.session.answering.pairs.get(request.path_params["pair"]), request.path_params["side"]
        told = "there is no such image"
        if pair is None or side not in {"left", "right"}:
            return refuse(404, told)
        image = pair.get_image(cast("Side", side))
        # The page says that an image cannot be loaded; the pair can be skipped.
        return await send(image.out, image.file_name, told=told)

    async def _write(self, request: Request, act: Callable[[], Awaitable[None]]) -> Response:
        async def describe() -> dict[str, Any]:
            await act()
            return self.session.answering.describe()

        refusal = "answers come from the comparison's own page only"
        return await record(request, self.session, describe, refusal=refusal)
