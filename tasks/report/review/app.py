"""The pages of `imagen review`: behind a random token, the gallery's own files and the verdicts only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.report.gallery.page import render_page
from tasks.report.review.current_gallery import CurrentGallery
from tasks.report.review.guards import HEADERS, read_body, refuse
from tasks.report.review.judging import Judge, Judgements
from tasks.report.review.pages import PageSession, build_guarded_app, record, send

MOST_SINCE_DIGITS = 18
"""Of an instant in microseconds."""
ReadVerdicts = Callable[[int], Awaitable[list[dict[str, Any]]]]
"""Takes an instant in microseconds."""


@dataclass(slots=True, kw_only=True)
class ReviewSession(PageSession):
    """One batch under review, and the address of its page."""

    current: CurrentGallery
    """Nothing but its files is served."""
    judge: Judge
    reviewer: str


def build_app(session: ReviewSession, read: ReadVerdicts) -> Starlette:
    """The application that answers the browser.

    Args:
        session: The batch under review.
        read: The judgements since an instant, as `read_verdicts` has them.
    """
    pages, base = _ReviewPages(session, read), f"/{session.token}"
    routes = [
        Route(f"{base}/", pages.show_page),
        Route(f"{base}/verdicts", pages.list_verdicts, methods=["GET"]),
        Route(f"{base}/verdicts", pages.judge, methods=["POST"]),
        Route(f"{base}/{{name:path}}", pages.send_file),
    ]
    return build_guarded_app(session, routes)


@dataclass(frozen=True, slots=True)
class _ReviewPages:
    """The answers to the browser."""

    session: ReviewSession
    read: ReadVerdicts

    async def show_page(self, _request: Request) -> Response:
        """The gallery, with the buttons of a review."""
        await self.session.current.refresh()
        gallery = self.session.current.gallery
        here = gallery.page_data("", gallery.written_at_us)
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

        async def act() -> dict[str, int]:
            said = Judgements.model_validate_json(await read_body(request))
            return {"saved": len(await self.session.judge.record(said))}

        refusal = "judgements come from the review's own page only"
        return await record(request, self.session, act, refusal=refusal)

    async def send_file(self, request: Request) -> Response:
        """An image, or another file of the page; nothing else of the folder, whose ledger is beside them."""
        name, told = request.path_params["name"], "there is no such file"
        if name not in self.session.current.files:
            return refuse(404, told)
        return await send(self.session.current.gallery.out, name, told=told)
