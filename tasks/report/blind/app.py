"""The page of a blind comparison: behind a random token, and it names no file, batch or model before the results."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import cast

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.core.errors import ImagenError
from tasks.ledger.database.connect import explain_failure
from tasks.report.blind.answering import Answer, Answering
from tasks.report.blind.pairs import Side
from tasks.report.gallery.page import PageAssets, render_page
from tasks.report.review.guards import HEADERS, HOST, OwnHostOnly, read_body, refuse

ASSETS = PageAssets(files("tasks.report.blind") / "assets", ("blind.css",), ("results.js", "blind.js"))
TITLE = "Which image is better?"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSession:
    """One comparison, and the address of its page."""

    answering: Answering
    port: int
    token: str

    @property
    def origin(self) -> str:
        """Of the page, as browsers send it."""
        return f"http://{HOST}:{self.port}"

    @property
    def address(self) -> str:
        """The page's address; whoever has it may answer."""
        return f"{self.origin}/{self.token}/"


def build_app(session: BlindSession) -> Starlette:
    """The application that answers the browser."""
    pages, base = _BlindPages(session), f"/{session.token}"
    app = Starlette(
        routes=[
            # Browsers ask for it at the root, without the token; an answer of 404 would stand in the console.
            Route("/favicon.ico", lambda _: Response(status_code=204)),
            Route(f"{base}/", pages.show_page),
            Route(f"{base}/state", pages.show_state),
            Route(f"{base}/results", pages.show_results),
            Route(f"{base}/answers", pages.answer, methods=["POST"]),
            Route(f"{base}/undo", pages.undo, methods=["POST"]),
            Route(f"{base}/image/{{pair}}/{{side}}", pages.send_image),
        ]
    )
    app.add_middleware(OwnHostOnly, host=f"{HOST}:{session.port}")
    return app


@dataclass(frozen=True, slots=True)
class _BlindPages:
    """The answers to the browser."""

    session: BlindSession

    async def show_page(self, _request: Request) -> Response:
        """The page, which then asks for its first pair."""
        return Response(render_page(TITLE, {}, talks=True, assets=ASSETS), media_type="text/html", headers=HEADERS)

    async def show_state(self, _request: Request) -> Response:
        """How far it is, and the next pair."""
        return JSONResponse(self.session.answering.describe(), headers=HEADERS)

    async def show_results(self, _request: Request) -> Response:
        """The results so far; they name the models, but no side of any pair."""
        try:
            return JSONResponse(await self.session.answering.build_results(), headers=HEADERS)
        except DBAPIError as exc:
            return refuse(503, str(explain_failure(exc) or "the ledger cannot be read"))

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
        if pair is None or side not in {"left", "right"}:
            return refuse(404, "there is no such image")
        image = pair.get_image(cast("Side", side))
        # The page says that an image cannot be loaded; the pair can be skipped.
        data = None
        with suppress(ImagenError):
            data = await run_in_threadpool(image.out.read, image.file_name)
        if data is None:
            return refuse(404, "there is no such image")
        kind = mimetypes.guess_type(image.file_name)[0] or "application/octet-stream"
        # Kept by the browser: the address comes from the files' contents, and the next pair is loaded early.
        return Response(data, media_type=kind, headers={**HEADERS, "Cache-Control": "private, max-age=3600"})

    async def _write(self, request: Request, act: Callable[[], Awaitable[None]]) -> Response:
        # Another page in the same browser can send here too, and cannot hide where it comes from.
        if request.headers.get("origin") != self.session.origin:
            return refuse(403, "answers come from the comparison's own page only")
        try:
            await act()
        except ValidationError as exc:
            return refuse(422, f"cannot be read: {exc.errors()[0]['msg']}")
        except ImagenError as exc:
            return refuse(409, str(exc))
        except DBAPIError as exc:
            # A full disk, or a database that went away: the page stays at this pair.
            return refuse(503, str(explain_failure(exc) or "the ledger cannot be written"))
        return JSONResponse(self.session.answering.describe(), headers=HEADERS)
