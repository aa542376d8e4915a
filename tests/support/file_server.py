"""Files at addresses of this machine, with the status and the type that a test gives."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

REDIRECTS = {301, 302, 303, 307, 308}
"""Of these the body is the address that they lead to."""


@contextmanager
def serving(answers: dict[str, tuple[int, str, bytes]]) -> Iterator[str]:
    """A web server on this machine; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answers.get(self.path, (404, "text/plain", b"no"))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status in REDIRECTS:
                self.send_header("Location", body.decode())
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            status, _, body = answers.get(self.path, (404, "", b""))
            self.send_response(status)
            for name, value in (("ETag", '"e"'), ("X-Repo-Commit", "c" * 40), ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
