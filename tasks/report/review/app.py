"""The pages of `imagen review`: behind a random token, the gallery's own files and the verdicts only."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.core.errors import ImagenError
from tasks.ledger.database.connect import explain_failure
from tasks.report.gallery.build import Gallery
from tasks.report.gallery.page import render_page
from tasks.report.review.guards import HEADERS, HOST, OwnHostOnly, read_body, refuse
from tasks.report.review.judging import Judge, Judgements

MOST_SINCE_DIGITS = 18
"""Of an instant in microseconds."""
ReadVerdicts = Callable[[int], Awaitable[list[dict[str, Any]]]]
"""Takes an instant in microseconds."""


@dataclass(slots=True, kw_only=True)
class ReviewSession:
    """One batch under review, and the address of its page."""

    gallery: Gallery
    judge: Judge
    reviewer: str
    port: int
    # Only these names: the folder holds the ledger and the settings as well.
    files: frozenset[str]
    """Names of the gallery's files and of the batch's images; nothing else is served."""
    token: str

    @property
    def origin(self) -> str:
        """Of the page, as browsers send it."""
        return f"http://{HOST}:{self.port}"

    @property
    def address(self) -> str:
        """The page's address; whoever has it may judge."""
        return f"{self.origin}/{self.token}/"


def build_app(session: ReviewSession, read: ReadVerdicts) -> Starlette:
    """The application that answers the browser.

    Args:
        session: What is reviewed.
        read: The judgements since an instant, as `read_verdicts` has them.
    """
    pages, base = _ReviewPages(session, read), f"/{session.token}"
    app = Starlette(
        routes=[
            # Browsers ask for it at the root, without the token; an answer of 404 would stand in the console.
            Route("/favicon.ico", lambda _: Response(status_code=204)),
            Route(f"{base}/", pages.show_page),
            Route(f"{base}/verdicts", pages.list_verdicts, methods=["GET"]),
            Route(f"{base}/verdicts", pages.judge, methods=["POST"]),
            Route(f"{base}/{{name:path}}", pages.send_file),
        ]
    )
    app.add_middleware(OwnHostOnly, host=f"{HOST}:{session.port}")
    return app


@dataclass(frozen=True, slots=True)
class _ReviewPages:
    """The answers to the browser."""

    session: ReviewSession
    read: ReadVerdicts

    async def show_page(self, _request: Request) -> Response:
        """The gallery, with the buttons of a review."""
        here = self.session.gallery.page_data("", self.session.gallery.written_at_us)
        data = {"batches": [here], "review": {"reviewer": self.session.reviewer}}
        return Response(render_page(here["name"], data, talks=True), media_type="text/html", headers=HEADERS)

    async def list_verdicts(self, request: Request) -> Response:
        """The judgements so far; those since `?since=`, in microseconds, where the page has the others."""
        since = request.query_params.get("since", "0")
        if not since.isdecimal() or len(since) > MOST_SINCE_DIGITS:
            return refuse(422, "since is no instant in microseconds")
        return JSONResponse({"verdicts": await self.read(int(since))}, headers=HEADERS)

    async def judge(self, request: Request) -> Response:
        """Record judgements."""
        # Another page in the same browser can send here too, and cannot hide where it comes from.
        if request.headers.get("origin") != self.session.origin:
            return refuse(403, "judgements come from the review's own page only")
        try:
            said = Judgements.model_validate_json(await read_body(request))
            saved = await self.session.judge.record(said)
        except ValidationError as exc:
            return refuse(422, f"cannot be read: {exc.errors()[0]['msg']}")
        except ImagenError as exc:
            return refuse(409, str(exc))
        except DBAPIError as exc:
            # A full disk, or a database that went away: the page keeps the verdicts and sends them again.
            return refuse(503, str(explain_failure(exc) or "the ledger cannot be written"))
        return JSONResponse({"saved": len(saved)}, headers=HEADERS)

    async def send_file(self, request: Request) -> Response:
        """An image, or another file of the page; nothing else of the folder, whose ledger is beside them."""
        name = request.path_params["name"]
        data = await run_in_threadpool(self.session.gallery.out.read, name) if name in self.session.files else None
        if data is None:
            return refuse(404, "there is no such file")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(data, media_type=kind, headers={**HEADERS, "Cache-Control": "private, max-age=3600"})
