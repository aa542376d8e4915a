"""`/v1/files`: what models take as input and is too large to stand in a create. Free, and kept for a day."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import build_json
from tasks.backends.replicate_simulator.api.problems import Problem, build_not_found
from tasks.backends.replicate_simulator.provider import Provider
from tasks.backends.replicate_simulator.simulated_time import format_rfc3339

KEPT_S = 86_400.0
LARGEST_BYTES = 100_000_000
"""Replicate's docs, "Input files", read 2026-11."""


@dataclass(slots=True)
class Files:
    """The account's uploads."""

    provider: Provider
    _kept: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def create(self, request: web.Request) -> web.Response:
        """`POST /v1/files`: a form whose part `content` is the file."""
        # Read whole: an upload is 100 MB at most.
        form = await request.post()
        part = form.get("content")
        if not isinstance(part, web.FileField):
            raise Problem(400, "Missing content")
        data = part.file.read()
        if len(data) > LARGEST_BYTES:
            raise Problem(413, "File too large")
        sha256 = hashlib.sha256(data).hexdigest()
        # The number of the upload too: the same file twice is two files at the service.
        file_id = hashlib.sha256(f"{len(self._kept)} {sha256}".encode()).hexdigest()[:40]
        now_s = self.provider.now_s()
        self._kept[file_id] = {
            "id": file_id,
            "name": part.filename,
            "content_type": part.content_type,
            "size": len(data),
            "etag": sha256[:32],
            "checksums": {"sha256": sha256},
            "metadata": {},
            "created_at": format_rfc3339(now_s),
            "expires_at": format_rfc3339(now_s + KEPT_S),
            "urls": {"get": f"{self.provider.api_url}/v1/files/{file_id}"},
        }
        return build_json(self._kept[file_id], status=201)

    async def get(self, request: web.Request) -> web.Response:
        """`GET /v1/files/{id}`: what is known of it."""
        found = self._kept.get(request.match_info["id"])
        if found is None:
            raise build_not_found()
        return build_json(found)
