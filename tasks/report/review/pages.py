"""The parts that pages on loopback share: their address, their guards, and the answers to a message and to a file."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.core.errors import ImagenError, InputError
from tasks.ledger.database.connect import explain_failure
from tasks.report.review.guards import HEADERS, HOST, OwnHostOnly, refuse
from tasks.store.output import Output


@dataclass(slots=True, kw_only=True)
class PageSession:
    """The address of a page."""

    port: int
    token: str

    @property
    def origin(self) -> str:
        """Of the page, as browsers send it."""
        return f"http://{HOST}:{self.port}"

    @property
    def address(self) -> str:
        """The page's address; whoever has it may judge and answer."""
        return f"{self.origin}/{self.token}/"


class AnswerFailures:
    """Answers 503 with the reason where the ledger fails, so that nothing breaks off and no traceback is printed."""

    def __init__(self, app: Any) -> None:
        """Answer for `app`."""
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, as ASGI asks."""
        # A full disk, or a database that went away: the page keeps what it could not say. A browser that was closed in
        # the middle of its message hears nothing.
        with suppress(ClientDisconnect):
            try:
                await self._app(scope, receive, send)
            except (ImagenError, SQLAlchemyError, OSError) as exc:
                told = exc if isinstance(exc, ImagenError) else explain_failure(exc)
                await refuse(503, str(told or "the ledger cannot be read or written"))(scope, receive, send)


def build_guarded_app(session: PageSession, routes: Sequence[Route]) -> Starlette:
    """The application of these routes, which answers its own host only."""
    # Browsers ask for the icon at the root, without the token; an answer of 404 would stand in the console.
    icon = Route("/favicon.ico", lambda _: Response(status_code=204))
    app = Starlette(routes=[icon, *routes])
    app.add_middleware(AnswerFailures)
    app.add_middleware(OwnHostOnly, host=f"{HOST}:{session.port}")
    return app


async def record(
    request: Request, session: PageSession, act: Callable[[], Awaitable[Any]], *, refusal: str
) -> Response:
    """Do what the page asks for, and answer with its outcome as JSON; nothing is done for another page.

    Args:
        request: From a browser.
        session: The page that may ask.
        act: Reads the message and writes to the ledger.
        refusal: The words to a request of another page.
    """
    # Another page in the same browser can send here too, and cannot hide where it comes from.
    if request.headers.get("origin") != session.origin:
        return refuse(403, refusal)
    # A page gives up what is refused here, and keeps what fails otherwise: `AnswerFailures` has the rest.
    try:
        return JSONResponse(await act(), headers=HEADERS)
    except ValidationError as exc:
        return refuse(422, f"cannot be read: {exc.errors()[0]['msg']}")
    except InputError as exc:
        return refuse(409, str(exc))


async def send(out: Output, name: str, *, told: str) -> Response:
    """A file of the output; where it is gone or cannot be read, 404 with what is told."""
    data = None
    with suppress(ImagenError):
        data = await run_in_threadpool(out.read, name)
    if data is None:
        return refuse(404, told)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    # Kept by the browser: what the address leads to does not change while it is looked at.
    return Response(data, media_type=kind, headers={**HEADERS, "Cache-Control": "private, max-age=3600"})
