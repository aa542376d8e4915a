"""A stand-in for OpenAI's Batch API, files and batches, beside the images API that does its lines."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import drop_connection
from tests.support.fakes import openai_images
from tests.support.fakes.openai_images import OpenAIImages, error

FAULTS = openai_images.FAULTS | {
    "upload_error",  # 500 to a file
    "batch_throttled",  # 429 to a create
    "batch_no_quota",  # 429 insufficient_quota to a create
    "batch_invalid",  # 400 to a create
    "batch_echo_key",  # 400 whose words hold the key
    "batch_drop_before",  # the connection closes, nothing created
    "batch_drop_after",  # it closes though the batch was created
    "batch_not_json",  # 200 with something else, though it was created
    "batch_list_lag",  # a list without the newest batch
    "batch_list_error",  # 500 to a list
    "batch_failed_tokens",  # the batch fails: too much is queued
    "batch_failed_file",  # the batch fails: its file is wrong
    "batch_expires",  # half of its lines are done
    "batch_cancelled",  # none of its lines is done
    "poll_error",  # 500 to a batch
    "download_drop",  # the output breaks off in the middle
    "output_deleted",  # 404 to the output
    "line_moderation",  # a line: refused by moderation
    "line_invalid",  # a line: 400
    "line_server_error",  # a line: 500
    "line_no_credit",  # a line: 400, the account is empty
    "line_missing",  # a line that is in no file
}
LINE_FAULTS = ("line_moderation", "line_invalid", "line_server_error", "line_no_credit", "line_missing")


@dataclass
class OpenAIBatches(OpenAIImages):
    """The service."""

    known_faults: frozenset[str] = FAULTS
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: int = 1
    """Looks at which a batch is still running."""

    def app(self) -> web.Application:
        """Its routes."""
        app = super().app()
        app.router.add_post("/v1/files", self.upload)
        app.router.add_get("/v1/files/{id}/content", self.content)
        app.router.add_post("/v1/batches", self.create)
        app.router.add_get("/v1/batches", self.listed)
        app.router.add_get("/v1/batches/{id}", self.get)
        app.router.add_post("/v1/batches/{id}/cancel", self.cancel)
        return app

    async def upload(self, request: web.Request) -> web.Response:
        """`POST /v1/files`."""
        form = await request.post()
        if self.strikes("upload_error"):
            return error(500, "The server had an error.")
        assert form["purpose"] == "batch"
        uploaded = form["file"]
        assert isinstance(uploaded, web.FileField)
        return web.json_response(self.stored(uploaded.file.read(), uploaded.filename))

    def stored(self, data: bytes, name: str) -> dict[str, Any]:
        """A new file."""
        file_id = f"file-{len(self.files) + 1}"
        self.files[file_id] = data
        created_at, size = int(time.time()), len(data)
        return {
            "id": file_id,
            "object": "file",
            "bytes": size,
            "created_at": created_at,
            "filename": name,
            "purpose": "batch",
            "status": "processed",
        }

    async def content(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/files/{id}/content`."""
        self.requests["content"] += 1
        data = self.files.get(request.match_info["id"])
        is_output = data is not None and b'"response"' in data
        if data is None or (is_output and self.strikes("output_deleted")):
            return error(404, "No such File object.")
        if is_output and self.strikes("download_drop"):
            response = web.StreamResponse(headers={"Content-Length": str(len(data))})
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            drop_connection(request)
            return response
        return web.Response(body=data, content_type="application/octet-stream")

    async def create(self, request: web.Request) -> web.Response:
        """`POST /v1/batches`."""
        self.requests["create"] += 1
        if self.strikes("batch_drop_before"):
            return drop_connection(request)
        if request.headers.get("Authorization") != f"Bearer {self.key}" or self.strikes("unauthorized"):
            return error(401, "Incorrect API key provided.", code="invalid_api_key")
        for name, (status, code, words) in _REFUSALS.items():
            if self.strikes(name):
                return error(status, words.replace("KEY", self.key), code=code)
        body = await request.json()
        if body["input_file_id"] not in self.files:  # a spoiled answer named it
            return error(400, "No such File object.")
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        self.created += lines
        batch = self.new_batch(body, lines)
        if self.strikes("batch_drop_after"):
            return drop_connection(request)
        return web.Response(text="<html>") if self.strikes("batch_not_json") else web.json_response(batch)

    def new_batch(self, body: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch that has just begun."""
        assert len({line["custom_id"] for line in lines}) == len(lines)
        batch_id = f"batch_{len(self.batches) + 1}"
        batch: dict[str, Any] = {
            "id": batch_id,
            "object": "batch",
            "status": "validating",
            "created_at": int(time.time()),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            **body,
        }
        self.batches[batch_id] = {**batch, "looks": self.looks}
        return batch

    async def listed(self, request: web.Request) -> web.Response:
        """`GET /v1/batches`: the newest first."""
        self.requests["list"] += 1
        if self.strikes("batch_list_error"):
            return error(500, "The server had an error.")
        newest = list(self.batches.values())[::-1][self.strikes("batch_list_lag") :]
        after, limit = request.query.get("after"), int(request.query.get("limit", "20"))
        start = next((n + 1 for n, batch in enumerate(newest) if batch["id"] == after), 0)
        page = [self.shown(batch) for batch in newest[start : start + limit]]
        return web.json_response({"object": "list", "data": page, "has_more": start + limit < len(newest)})

    async def get(self, request: web.Request) -> web.Response:
        """`GET /v1/batches/{id}`."""
        self.requests["get"] += 1
        if self.strikes("poll_error"):
            return error(500, "The server had an error.")
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return error(404, "No such batch.")
        batch["looks"] -= 1
        if batch["looks"] < 0 and batch["status"] in {"validating", "in_progress"}:
            self.end(batch)
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
        return web.json_response(self.shown(batch))

    async def cancel(self, request: web.Request) -> web.Response:
        """`POST /v1/batches/{id}/cancel`."""
        self.requests["cancel"] += 1
        batch = self.batches[request.match_info["id"]]
        batch["status"] = "cancelled"
        return web.json_response(self.shown(batch))

    def end(self, batch: dict[str, Any]) -> None:
        """Do the lines and write the two files."""
        for name, code in (("batch_failed_tokens", "token_limit_exceeded"), ("batch_failed_file", "invalid_json_line")):
            if self.strikes(name):
                problem = {"code": code, "message": f"{code}: nothing was done", "line": None, "param": None}
                batch |= {"status": "failed", "errors": {"object": "list", "data": [problem]}}
                return
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        done, code = len(lines), ""
        if self.strikes("batch_expires"):
            done, code = len(lines) // 2, "batch_expired"
        if self.strikes("batch_cancelled"):
            done, code = 0, "batch_cancelled"
        output: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for number, line in enumerate(lines):
            answered = self.line(line, undone=code if number >= done else None)
            if answered is not None:
                is_good = (answered["response"] or {}).get("status_code") == 200
                (output if is_good else errors).append(answered)
        for key, answers in (("output_file_id", output), ("error_file_id", errors)):
            if answers:
                data = b"".join(json.dumps(answer).encode() + b"\n" for answer in answers[::-1])
                batch[key] = self.stored(data, key)["id"]
        batch["status"] = {"batch_expired": "expired", "batch_cancelled": "cancelled"}.get(code, "completed")

    def line(self, line: dict[str, Any], *, undone: str | None) -> dict[str, Any] | None:
        """The answer to a line."""
        answer: dict[str, Any] = {"id": f"batch_req_{line['custom_id']}", "custom_id": line["custom_id"]}
        if undone is not None:
            return answer | {"response": None, "error": {"code": undone, "message": f"{undone}: it was not done"}}
        for name in LINE_FAULTS:
            if self.strikes(name):
                return None if name == "line_missing" else answer | {"response": _LINE_ENDS[name], "error": None}
        response = {"status_code": 200, "request_id": f"req_{line['custom_id']}", "body": self.image(line["body"])}
        return answer | {"response": response, "error": None}

    def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch as it is answered."""
        return {key: value for key, value in batch.items() if key != "looks"}


_REFUSALS = {
    "batch_throttled": (429, "rate_limit_exceeded", "Rate limit reached"),
    "batch_no_quota": (429, "insufficient_quota", "You exceeded your current quota."),
    "batch_invalid": (400, "invalid_value", "Invalid endpoint."),
    "batch_echo_key": (400, "invalid_value", "Bad header: KEY"),
}
_LINE_ENDS = {
    "line_moderation": {
        "status_code": 400,
        "request_id": "r",
        "body": {"error": {"code": "moderation_blocked", "message": "Rejected by the safety system."}},
    },
    "line_invalid": {
        "status_code": 400,
        "request_id": "r",
        "body": {"error": {"code": "invalid_value", "message": "Invalid size."}},
    },
    "line_server_error": {
        "status_code": 500,
        "request_id": "r",
        "body": {"error": {"code": None, "type": "server_error", "message": "The server had an error."}},
    },
    "line_no_credit": {
        "status_code": 400,
        "request_id": "r",
        "body": {"error": {"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached."}},
    },
}


def instance(url: str, **changes: Any) -> dict[str, Any]:
    """An instance in batch mode that talks to the stand-in."""
    return {
        "type": "openai",
        "mode": "batch",
        "model": "gpt-image-1.5",
        "api_base": f"{url}/v1",
        "quality": "low",
        "concurrency": 100,
        "batch_quiet_s": 0.05,
        "batch_poll_s": 0.05,
        **changes,
    }
