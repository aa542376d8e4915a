"""A stand-in for the Hugging Face Hub's data sets: repositories, commits and large files, as its own client calls them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.fakes.serving import Provider, serving

TOKEN = "hf_writes"


@dataclass
class Hub(Provider):
    """One account with its data sets."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files by data set."""
    private: dict[str, bool] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    """Uploaded contents by their sha256."""
    fails_commits: bool = False

    def app(self) -> web.Application:
        """The server."""
        built = web.Application(client_max_size=2**28, middlewares=[self._require_token])
        built.add_routes(
            [
                web.post("/api/repos/create", self._create),
                web.get("/api/datasets/{owner}/{name}/tree/main", self._list),
                web.get("/api/datasets/{owner}/{name}/revision/main", self._show),
                web.get("/api/datasets/{owner}/{name}", self._show),
                web.post("/api/datasets/{owner}/{name}/preupload/main", self._sort),
                web.post("/datasets/{owner}/{name}.git/info/lfs/objects/batch", self._offer),
                web.put("/upload/{digest}", self._store),
                web.post("/api/datasets/{owner}/{name}/commit/main", self._commit),
                web.post("/api/validate-yaml", self._accept),
            ]
        )
        return built

    @web.middleware
    async def _require_token(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/upload/") or request.headers.get("Authorization") == f"Bearer {TOKEN}":
            answer: web.StreamResponse = await handler(request)
            return answer
        return web.json_response({"error": "Invalid credentials in Authorization header"}, status=401)

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        name = f"{asked.get('organization')}/{asked['name']}"
        if name in self.repositories:
            return web.json_response({"url": f"{self.url}/datasets/{name}"}, status=409)
        self.repositories[name] = {".gitattributes": b""}
        self.private[name] = asked.get("private", asked.get("visibility") == "private")
        return web.json_response({"url": f"{self.url}/datasets/{name}"})

    def _find(self, request: web.Request) -> dict[str, bytes]:
        return self.repositories[f"{request.match_info['owner']}/{request.match_info['name']}"]

    async def _list(self, request: web.Request) -> web.Response:
        files = [
            {"type": "file", "path": path, "size": len(data), "oid": "o"} for path, data in self._find(request).items()
        ]
        return web.json_response(files)

    async def _show(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        siblings = [{"rfilename": path} for path in self._find(request)]
        return web.json_response({"id": name, "sha": "c" * 40, "siblings": siblings, "private": self.private[name]})

    async def _sort(self, request: web.Request) -> web.Response:
        asked = await request.json()
        modes = [
            {
                "path": file["path"],
                "uploadMode": "regular" if file["path"].endswith((".md", ".jsonl")) else "lfs",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in asked["files"]
        ]
        return web.json_response({"files": modes})

    async def _offer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.url}/upload/{each['oid']}", "header": {}}}}
            for each in asked["objects"]
        ]
        return web.json_response({"transfer": "basic", "objects": objects})

    async def _store(self, request: web.Request) -> web.Response:
        self.large[request.match_info["digest"]] = await request.read()
        return web.Response()

    async def _commit(self, request: web.Request) -> web.Response:
        if self.fails_commits:
            return web.json_response({"error": "storage limit reached"}, status=403)
        files = self._find(request)
        for line in (await request.text()).splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        place = f"{self.url}/datasets/{request.match_info['owner']}/{request.match_info['name']}"
        return web.json_response({"commitUrl": f"{place}/commit/{'c' * 40}", "commitOid": "c" * 40, "success": True})

    async def _accept(self, _: web.Request) -> web.Response:
        return web.json_response({"errors": [], "warnings": []})


@asynccontextmanager
async def serve_hub() -> AsyncIterator[Hub]:
    """A hub without data sets on this machine."""
    hub = Hub()
    async with serving(hub):
        yield hub
