"""The server of `imagen review`: on loopback, behind a random token, for the gallery's own files only."""

from __future__ import annotations

import asyncio
import mimetypes
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tasks.core.clock import Clock
from tasks.core.errors import ImagenError
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.queries import read_made_pages
from tasks.ledger.verdicts import read_verdicts
from tasks.report.gallery.build import Gallery, OnProgress, write_gallery
from tasks.report.gallery.page import render_page
from tasks.report.review.judging import Judge, Judgements
from tasks.store.output import Output

# Loopback only: whoever reaches the page may judge.
HOST = "127.0.0.1"
MOST_BODY_BYTES = 4 * 1024 * 1024
"""Of one message: a thousand judgements with their notes."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


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
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def origin(self) -> str:
        """Of the page, as browsers send it."""
        return f"http://{HOST}:{self.port}"

    @property
    def address(self) -> str:
        """The page's address; whoever has it may judge."""
        return f"{self.origin}/{self.token}/"


def build_app(session: ReviewSession, read: Callable[[], Awaitable[list[dict[str, Any]]]]) -> Starlette:
    """The application that answers the browser.

    Args:
        session: What is reviewed.
        read: The judgements so far, as `read_verdicts` has them.
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
    app.add_middleware(_OwnHostOnly, host=f"{HOST}:{session.port}")
    return app


@dataclass(frozen=True, slots=True)
class _ReviewPages:
    """The answers to the browser."""

    session: ReviewSession
    read: Callable[[], Awaitable[list[dict[str, Any]]]]

    async def show_page(self, _request: Request) -> Response:
        """The gallery, with the buttons of a review."""
        here = self.session.gallery.page_data("", self.session.gallery.written_at_us)
        data = {"batches": [here], "review": {"reviewer": self.session.reviewer}}
        return Response(render_page(here["name"], data, talks=True), media_type="text/html", headers=HEADERS)

    async def list_verdicts(self, _request: Request) -> Response:
        """The judgements so far."""
        return JSONResponse({"verdicts": await self.read()}, headers=HEADERS)

    async def judge(self, request: Request) -> Response:
        """Record judgements."""
        # Another page in the same browser can send here too, and cannot hide where it comes from.
        if request.headers.get("origin") != self.session.origin:
            return _refuse(403, "judgements come from the review's own page only")
        try:
            said = Judgements.model_validate_json(await _read_body(request))
            saved = await self.session.judge.record(said)
        except ValidationError as exc:
            return _refuse(422, f"cannot be read: {exc.errors()[0]['msg']}")
        except ImagenError as exc:
            return _refuse(409, str(exc))
        return JSONResponse({"saved": len(saved)}, headers=HEADERS)

    async def send_file(self, request: Request) -> Response:
        """An image, or another file of the page; nothing else of the folder, whose ledger is beside them."""
        name = request.path_params["name"]
        data = await run_in_threadpool(self.session.gallery.out.read, name) if name in self.session.files else None
        if data is None:
            return _refuse(404, "there is no such file")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(data, media_type=kind, headers={**HEADERS, "Cache-Control": "private, max-age=3600"})


class _OwnHostOnly:
    """Refuses what was sent to another name: a web page that has its own name point to this machine."""

    def __init__(self, app: Any, *, host: str) -> None:
        self._app, self._host = app, host.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and dict(scope["headers"]).get(b"host") != self._host:
            await _refuse(421, "this is another host")(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _refuse(status: int, message: str) -> Response:
    return PlainTextResponse(message, status_code=status, headers=HEADERS)


async def _read_body(request: Request) -> bytes:
    """The body; what is longer than any message is cut, and then no JSON any more."""
    body = bytearray()
    # Cut instead of refused at once, so that the browser gets an answer it can show.
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY_BYTES:
            break
    return bytes(body)


class _Server(uvicorn.Server):
    """Ends quietly: uvicorn's own raises the signal once more, in the middle of closing the ledger."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the serving, and nothing else."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.force_exit = self.should_exit  # the second one does not wait for a browser's open connection
        self.should_exit = True


async def serve_review(
    out: Output, *, port: int, reviewer: str, ready: Callable[[str], None], on_progress: OnProgress = lambda *_: None
) -> None:
    """Write the gallery anew and serve it until this process is asked to end.

    Args:
        out: The batch.
        port: 0 takes a free one.
        reviewer: Under whose name judgements are written where the page names nobody else.
        ready: Called with the page's address once it answers.
        on_progress: As `write_gallery` has it.

    Raises:
        InputError: There is no such batch.
        OSError: The port is taken.
    """
    gallery = await write_gallery(out, on_progress)
    async with open_ledger(out.ledger_folder()) as engine:
        # Once, before the server starts: the images of a batch do not change under a review.
        names = {file_name async for page in read_made_pages(engine) for _, file_name in page}
        # Bound by ourselves, so that the port is known before anything is served: 0 takes a free one.
        with socket.create_server((HOST, port)) as listener:
            session = ReviewSession(
                gallery=gallery,
                judge=Judge(engine, Clock()),
                reviewer=reviewer,
                port=listener.getsockname()[1],
                files=frozenset(gallery.files() | names),
            )

            async def read() -> list[dict[str, Any]]:
                return [dict(row) for row in await read_verdicts(engine)]

            config = uvicorn.Config(
                build_app(session, read), log_level="error", access_log=False, lifespan="off", server_header=False
            )
            # Told before it serves: whoever waits for the address must not wait for a browser.
            ready(session.address)
            await _Server(config).serve(sockets=[listener])
