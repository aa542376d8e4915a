"""Process of the temporary server: Prefect's API on a socket that its parent opened, for as long as the parent lives.

`launch` starts this file, not a module, so that a `tasks` folder where the user works is not taken for ours. It
therefore imports nothing of this project. Arguments: the token that marks its command line, and the number of the
listening socket. Standard input is a pipe whose other end only the parent holds. Exit status 3: it could not start.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from functools import partial
from typing import Any

import uvicorn

# Seconds. A client of a temporary server is the run itself, which is ending too.
REQUESTS_GRACE_S = 2
"""Time that requests in flight get after the server was told to stop."""
SHUTDOWN_GRACE_S = 5.0
"""After this the process ends, whatever Prefect's services still do."""
START_FAILED = 3
MISDIRECTED = 421
"""RFC 9110, section 15.5.20: the request was meant for another host."""


def main(listener_fd: int) -> int:
    """Serve until SIGTERM, or until the parent is gone."""
    listener = socket.socket(fileno=listener_fd)
    config = uvicorn.Config(
        partial(create_app, "{}:{}".format(*listener.getsockname()).encode()),
        factory=True,
        lifespan="on",
        log_level="error",
        timeout_graceful_shutdown=REQUESTS_GRACE_S,
    )
    server = uvicorn.Server(config)
    # A daemon thread, because it waits in a read that nothing else can end.
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    server.run(sockets=[listener])
    return 0 if server.started else START_FAILED


def create_app(host: bytes) -> Any:
    """Build Prefect's application as its own temporary server does, with a word on why it could not start.

    It answers what was sent to `host` and nothing else: a web page can have its own name point to this machine, and would
    then be of the server's own origin.
    """
    from prefect.server.api.server import create_app as create_prefect_app  # noqa: PLC0415  seconds; its failure is shown

    app = create_prefect_app()

    async def explain(scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: Any) -> None:
            # Prefect's own settings decide what its loggers show, which may be nothing.
            if message["type"] == "lifespan.startup.failed":
                sys.stderr.write(f"{message.get('message', '')}\n")
            await send(message)

        if scope["type"] != "lifespan" and dict(scope["headers"]).get(b"host") != host:
            await _refuse(scope["type"], send)
            return
        await app(scope, receive, send_on if scope["type"] == "lifespan" else send)

    return explain


async def _refuse(kind: str, send: Any) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": MISDIRECTED, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"this is another host"})


def _end_with_parent(server: uvicorn.Server) -> None:
    """Wait for the end of standard input, which the system brings about even when the parent is killed."""
    # A run that is killed closes the pipe; the kernel does so for it.
    while os.read(sys.stdin.fileno(), 1):
        pass
    if server.started:
        server.should_exit = True
        time.sleep(SHUTDOWN_GRACE_S)
    # Until it has started nothing is lost: each migration of Prefect's database is a transaction of its own.
    os._exit(0)


if __name__ == "__main__":
    _token, _listener_fd = sys.argv[1:]
    sys.exit(main(int(_listener_fd)))
