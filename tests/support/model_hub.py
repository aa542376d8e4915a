"""The few answers of a model hub that a download needs, on loopback: the real client talks to it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME, GATED, UNKNOWN = "nobody/tiny-flux", "nobody/gated", "nobody/no-such"
COMMIT = "c0ffee" + "0" * 34


@contextmanager
def model_hub(folder: Path) -> Iterator[str]:
    """The address of a hub that has the files of `folder` as `NAME`, and refuses `GATED`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    folder: Path

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass

    def _answer(self, *, with_body: bool) -> None:
        status, body, headers = self._found(self.path.partition("?")[0])
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _found(self, path: str) -> tuple[int, bytes, Mapping[str, str]]:
        files = {str(file.relative_to(self.folder)): file for file in self.folder.rglob("*") if file.is_file()}
        wanted = path.removeprefix(f"/{NAME}/resolve/{COMMIT}/")
        if wanted in files:
            body = files[wanted].read_bytes()
            return 200, body, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if path.startswith(f"/api/models/{NAME}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": "0" * 40}
                for name, file in files.items()
            ]
            return 200, json.dumps(tree).encode(), {"Content-Type": "application/json"}
        if path.startswith(f"/api/models/{NAME}"):
            about = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            return 200, json.dumps(about).encode(), {"Content-Type": "application/json"}
        return (
            (403, b"", {"X-Error-Code": "GatedRepo"}) if GATED in path else (404, b"", {"X-Error-Code": "RepoNotFound"})
        )
