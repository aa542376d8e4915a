"""The process of the embedded server: Prefect's API on a socket that its parent opened, and no longer than its parent.

Started by `tasks.orchestration.server.connection` by its file, not as a module, so that a `tasks` folder where the user works is not
taken for ours; it therefore imports nothing of this project. Takes the token that makes its command line known and
the number of the listening socket; its standard input is a pipe whose other end only the parent holds. Gives exit
status 3 when the server could not start. It keeps no files.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

import uvicorn

PREFECT_APP = "prefect.server.api.server:create_app"
"""Factory that Prefect's own temporary server runs (prefect 3.9.1, class SubprocessASGIServer, read 2026-11)."""
REQUESTS_GRACE_S = 2
"""How long requests in flight may take after the server was told to stop."""
SHUTDOWN_GRACE_S = 5.0
"""After this the process ends, whatever Prefect's services still do."""
START_FAILED = 3


def main(listener_fd: int) -> int:
    """Serve until SIGTERM, or until the parent is gone."""
    config = uvicorn.Config(
        PREFECT_APP,
        factory=True,
        lifespan="on",
        log_level="error",
        timeout_graceful_shutdown=REQUESTS_GRACE_S,
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    server.run(sockets=[socket.socket(fileno=listener_fd)])
    return 0 if server.started else START_FAILED


def _end_with_parent(server: uvicorn.Server) -> None:
    """Wait for the end of standard input, which the system brings about even when the parent is killed."""
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
