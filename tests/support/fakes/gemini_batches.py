"""A stand-in for Gemini's API with its batches: files in two steps, operations with states, results in a file of lines."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import drop_connection
from tasks.backends.replicate_simulator.images import make_image
from tests.support.fakes.named_service import build_instance
from tests.support.fakes.service_shapes import GEMINI_USAGE, GOOGLE_DAY, GOOGLE_KEY, Answer
from tests.support.fakes.serving import Provider

FAULTS = frozenset(
    {
        "unauthorized",  # 400, as Google tells a wrong key
        "batch_throttled",  # 429 with a retryDelay
        "batch_no_quota",  # 429: the day is used up
        "batch_invalid",  # 400
        "batch_echo_key",  # 400 whose words hold the key
        "batch_drop_before",  # the create is not answered, nothing made
        "batch_drop_after",  # nor is it, though the batch is there
        "batch_not_json",  # 200 with something else
        "upload_error",  # 503 to a file
        "upload_elsewhere",  # the address for the file is another host's
        "poll_error",  # 503 to a look
        "list_error",  # 503 to the list
        "batch_fails",  # as a whole
        "batch_expires",  # nothing was done within its time
        "output_deleted",  # 404 to the results
        "line_blocked",  # a 200 with a block reason
        "line_text",  # text in place of an image
        "line_error",  # an error in place of a response
        "line_unavailable",  # one that passes
    }
)


@dataclass
class GeminiBatches(Provider):
    """The service."""

    known_faults: frozenset[str] = FAULTS
    looks: int = 1
    """Looks at which a batch still runs."""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_post("/upload/v1beta/files", self.begin)
        app.router.add_post("/store/{name}", self.store)
        app.router.add_post("/v1beta/models/{call}", self.create)
        app.router.add_get("/v1beta/batches", self.listed)
        app.router.add_get("/v1beta/batches/{id}", self.get)
        app.router.add_get("/v1beta/files/{name}", self.download)
        return app

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """The first step of a file: an address for its content."""
        if (refusal := self.refuse(request)) is not None:
            return refusal
        if self.strikes("upload_error"):
            return web.json_response({"error": {"message": "unavailable"}}, status=503)
        host = "http://evil.example" if self.strikes("upload_elsewhere") else self.url
        address = f"{host}/store/file{self.requests[request.path]}"
        return web.json_response({}, headers={"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active"})

    async def store(self, request: web.Request) -> web.Response:
        """The second step."""
        name = request.match_info["name"]
        self.files[name] = await request.read()
        file = {"name": f"files/{name}", "mimeType": "application/jsonl", "state": "ACTIVE"}
        return web.json_response({"file": file}, headers={"X-Goog-Upload-Status": "final"})

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A batch of a stored file."""
        if (refusal := self.refuse(request)) is not None:
            return refusal
        if self.strikes("batch_drop_before"):
            return drop_connection(request)
        for fault, answer in self.list_refusals().items():
            if self.strikes(fault):
                return web.json_response(answer[1], status=answer[0])
        asked = (await request.json())["batch"]
        lines = [json.loads(line) for line in self.files[asked["inputConfig"]["fileName"][6:]].splitlines()]
        self.created += [line["request"] for line in lines]
        name = f"b{len(self.batches) + 1}"
        self.batches[name] = {
            "displayName": asked["displayName"],
            "createTime": datetime.now(UTC).isoformat().replace("+00:00", "123Z"),
            "looks": self.looks,
            "lines": lines,
            "state": next((fault for fault in ("batch_fails", "batch_expires") if self.strikes(fault)), ""),
        }
        if self.strikes("batch_drop_after"):
            return drop_connection(request)
        if self.strikes("batch_not_json"):
            return web.Response(text="<html>")
        return web.json_response(self.show(name))

    def refuse(self, request: web.Request) -> web.Response | None:
        """The answer to a wrong key."""
        self.requests[request.path] += 1
        if request.headers.get("x-goog-api-key") == self.key and not self.strikes("unauthorized"):
            return None
        return web.json_response(GOOGLE_KEY[1], status=GOOGLE_KEY[0])

    def list_refusals(self) -> dict[str, Answer]:
        """What is answered to a create that makes nothing."""
        slowly = {"error": {"code": 429, "message": "Resource exhausted", "details": [{"retryDelay": "7s"}]}}
        return {
            "batch_throttled": (429, slowly),
            "batch_no_quota": GOOGLE_DAY,
            "batch_invalid": (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no such model"}}),
            "batch_echo_key": (400, {"error": {"code": 400, "message": f"bad header {self.key}"}}),
        }

    async def listed(self, request: web.Request) -> web.Response:
        """Two batches a page, the newest first."""
        if self.strikes("list_error"):
            return web.json_response({}, status=503)
        names = list(reversed(self.batches))
        begin = int(request.query.get("pageToken", 0))
        shown = [self.show(name) for name in names[begin : begin + 2]]
        more = {"nextPageToken": str(begin + 2)} if begin + 2 < len(names) else {}
        return web.json_response({"operations": shown, **more} if shown else {})

    async def get(self, request: web.Request) -> web.Response:
        """One batch."""
        self.requests["get"] += 1
        if self.strikes("poll_error"):
            return web.json_response({}, status=503)
        name = request.match_info["id"]
        if name not in self.batches:
            return web.json_response({"error": {"code": 404, "message": "not found"}}, status=404)
        self.batches[name]["looks"] -= 1
        return web.json_response(self.show(name))

    def show(self, name: str) -> dict[str, Any]:
        """A batch as it is answered."""
        batch = self.batches[name]
        metadata = {key: batch[key] for key in ("displayName", "createTime")}
        ends = {"batch_fails": "FAILED", "batch_expires": "EXPIRED"}.get(batch["state"], "SUCCEEDED")
        state = "RUNNING" if batch["looks"] >= 0 else ends
        shown: dict[str, Any] = {"name": f"batches/{name}", "metadata": {**metadata, "state": f"BATCH_STATE_{state}"}}
        if state == "SUCCEEDED":
            shown["metadata"]["output"] = {"responsesFile": f"files/out-{name}"}
            shown |= {"done": True, "response": {"responsesFile": f"files/out-{name}"}}
        if state == "FAILED":
            shown |= {"done": True, "error": {"code": 3, "message": "the file has no requests"}}
        return shown

    async def download(self, request: web.Request) -> web.Response:
        """The results of a batch; what was stored cannot be read back."""
        name = request.match_info["name"].partition(":")[0].removeprefix("out-")
        if name not in self.batches or self.strikes("output_deleted"):
            return web.json_response({"error": {"code": 404, "message": "not found"}}, status=404)
        lines = [json.dumps({"key": line["key"], **self.answer(line["key"])}) for line in self.batches[name]["lines"]]
        return web.Response(text="\n".join(lines) + "\n")

    def answer(self, key: str) -> dict[str, Any]:
        """What became of a line."""
        if self.strikes("line_error"):
            return {"error": {"code": 3, "message": "the aspect ratio is none"}}
        if self.strikes("line_unavailable"):
            return {"error": {"code": 14, "message": "overloaded"}}
        if self.strikes("line_blocked"):
            return {"response": {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}}
        parts: list[dict[str, Any]] = [{"text": "Here is your image:"}]
        if not self.strikes("line_text"):
            data = base64.b64encode(make_image(key, "png", (64, 64), kb=2)).decode()
            parts.append({"inlineData": {"mimeType": "image/png", "data": data}})
        candidate = {"content": {"parts": parts}, "finishReason": "STOP"}
        return {"response": {"candidates": [candidate], "usageMetadata": GEMINI_USAGE}}


def instance(url: str, **changes: Any) -> dict[str, Any]:
    """An instance in batch mode that talks to the stand-in."""
    terms = {"base": url, "quiet_s": 0.05, "poll_s": 0.05, "jobs": 200}
    return build_instance("gemini", url, mode="batch", batches=terms, concurrency=100) | changes
