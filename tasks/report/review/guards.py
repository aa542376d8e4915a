"""Protection of a page on loopback: whom it answers, with which headers, and how much it reads."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

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


class OwnHostOnly:
    """Refuses what was sent to another name: a web page that has its own name point to this machine."""

    def __init__(self, app: Any, *, host: str) -> None:
        """Let only requests to `host` through to `app`."""
        self._app, self._host = app, host.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] == "http" and dict(scope["headers"]).get(b"host") != self._host:
            await refuse(421, "this is another host")(scope, receive, send)
            return
        await self._app(scope, receive, send)


def refuse(status: int, message: str) -> Response:
    """An answer that says why nothing was done."""
    return PlainTextResponse(message, status_code=status, headers=HEADERS)


async def read_body(request: Request) -> bytes:
    """The body; what is longer than any message is cut, and then no JSON any more."""
    body = bytearray()
    # Cut instead of refused at once, so that the browser gets an answer it can show.
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY_BYTES:
            break
    return bytes(body)
