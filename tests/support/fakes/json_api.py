"""An API that nobody has programmed for: a picture at once, or a task that is polled, as its paths say."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import drop_connection
from tasks.backends.replicate_simulator.images import make_image
from tests.support.fakes.serving import Provider

FAULTS = frozenset(
    {
        "unauthorized",  # 401
        "no_credit",  # 402
        "throttled",  # 429 with Retry-After
        "invalid",  # 422
        "flagged",  # 422 whose words say that the prompt was flagged
        "echo_key",  # 422 whose words hold the key
        "server_error",  # 500, nothing made
        "drop_before",  # the connection closes, nothing made
        "drop_after",  # it closes though it was made
        "not_json",  # 200 with something else
        "no_id",  # 201 without an id
        "task_failed",  # ends as failed
        "task_flagged",  # ends as failed, flagged
        "task_passing",  # ends as failed, out of capacity
        "task_stuck",  # never ends
        "task_forgotten",  # 404 to a poll
        "poll_error",  # 500 to a poll
        "no_output",  # ends well without a picture
        "list_error",  # 500 to a list
        "page_error",  # 500 to the second page of a list
        "list_lag",  # a task is in no list yet
    }
)


@dataclass
class JsonApi(Provider):
    """The service."""

    known_faults: frozenset[str] = FAULTS
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    """The task of each idempotency key."""
    cancelled: list[str] = field(default_factory=list)
    looks: int = 2
    """Looks at which a task is still running."""
    without_host: bool = False
    """True if the addresses of its images have none."""
    price: float = 0.0125
    """Of a task, as it says it."""

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        for name in ("raw", "base64", "url"):
            app.router.add_post(f"/v2/{name}", self.at_once)
        app.router.add_post("/v2/tasks", self.create)
        app.router.add_get("/v2/tasks", self.listed)
        app.router.add_get("/v2/tasks/{id}", self.poll)
        app.router.add_get("/v2/tasks/{id}/picture", self.file)
        app.router.add_delete("/v2/tasks/{id}", self.cancel)
        app.router.add_get("/files/{id}", self.file)
        return app

    async def at_once(self, request: web.Request) -> web.Response:
        """A picture in the answer."""
        body, refusal = await self.asked(request)
        if refusal is not None:
            return refusal
        self.created.append(body)
        if self.strikes("drop_after"):
            return drop_connection(request)
        if self.strikes("not_json"):
            return web.Response(text="<html>")
        data, kind = self.picture_of(str(len(self.created))), request.path.rpartition("/")[2]
        if self.strikes("no_output"):
            return web.json_response({"images": []})
        if kind == "raw":
            return web.Response(body=data, content_type="image/png")
        item = base64.b64encode(data).decode() if kind == "base64" else f"{self.url}/files/{len(self.created)}"
        return web.json_response({"images": [item], "price": 0.0125})

    async def create(self, request: web.Request) -> web.Response:
        """A new task, or the old one of the same key."""
        body, refusal = await self.asked(request)
        if refusal is not None:
            return refusal
        key = request.headers.get("Idempotency-Key")
        task_id = self.by_key.get(key or "") or f"task-{len(self.tasks) + 1}"
        if task_id not in self.tasks:
            self.created.append(body)
            self.tasks[task_id] = {"id": task_id, "looks": self.looks, "body": body}
            if key is not None:
                self.by_key[key] = task_id
        if self.strikes("drop_after"):
            return drop_connection(request)
        if self.strikes("not_json"):
            return web.Response(text="<html>")
        return web.json_response({} if self.strikes("no_id") else {"task": {"id": task_id}}, status=201)

    async def asked(self, request: web.Request) -> tuple[dict[str, Any], web.Response | None]:
        """The body of a create, and what is answered where it makes nothing."""
        self.requests["create"] += 1
        if self.strikes("drop_before"):
            return {}, drop_connection(request)
        if request.headers.get("X-Key") != self.key or self.strikes("unauthorized"):
            return {}, _error(401, "who are you?")
        if self.strikes("throttled"):
            return {}, _error(429, "slowly", {"Retry-After": "7"})
        for name, (status, words) in _REFUSALS.items():
            if self.strikes(name):
                return {}, _error(status, words.replace("KEY", self.key))
        return await request.json(), None

    async def poll(self, request: web.Request) -> web.Response:
        """A task."""
        self.requests["poll"] += 1
        if self.strikes("poll_error"):
            return _error(500, "oops")
        task = self.tasks.get(request.match_info["id"])
        if task is None or self.strikes("task_forgotten"):
            return _error(404, "no such task")
        task["looks"] -= 1
        if task["id"] in self.cancelled:
            return web.json_response({"state": "stopped", "problem": {"text": "stopped"}})
        if task["looks"] >= 0 or self.strikes("task_stuck"):
            return web.json_response({"state": "working"})
        for name, words in (("task_failed", "bad"), ("task_flagged", "NSFW content"), ("task_passing", "no capacity")):
            if self.strikes(name):
                return web.json_response({"state": "broken", "problem": {"text": words}})
        address = None if self.strikes("no_output") else f"{self.host}/files/{task['id']}"
        return web.json_response({"state": "ready", "outputs": [{"href": address}], "price": self.price})

    @property
    def host(self) -> str:
        """The beginning of its images' addresses."""
        return "" if self.without_host else self.url

    async def listed(self, request: web.Request) -> web.Response:
        """The tasks of a reference."""
        self.requests["list"] += 1
        if self.strikes("list_error"):
            return _error(500, "oops")
        lag = self.strikes("list_lag")
        reference = request.query.get("reference")
        items = [
            {"name": task["id"], "of": task["body"].get("reference")}
            for task in self.tasks.values()
            if not lag and reference in {None, task["body"].get("reference")}
        ]
        if "page" not in request.query:
            return web.json_response({"found": items})
        # Pages of one, each with the mark of the next one.
        begin = int(request.query["page"] or 0)
        self.requests[f"page {begin}"] += 1
        if begin == 1 and self.strikes("page_error"):
            return _error(500, "oops")
        more = begin + 1 < len(items)
        link = f"?page={begin + 1}" if more else None
        return web.json_response(
            {"found": items[begin : begin + 1], "more": begin + 1 if more else 0, "link": link, "has_more": more}
        )

    async def cancel(self, request: web.Request) -> web.Response:
        """Stop a task."""
        self.cancelled.append(request.match_info["id"])
        await asyncio.sleep(0)
        return web.json_response({})

    async def file(self, request: web.Request) -> web.Response:
        """A picture at an address."""
        if request.path.startswith("/files/"):
            self.key_leaks += self.key in str(request.headers)
        return web.Response(body=self.picture_of(request.match_info["id"]), content_type="image/png")

    def picture_of(self, name: str) -> bytes:
        """A picture like no other's."""
        return make_image(name, "png", (64, 64), kb=2)


_REFUSALS = {
    "no_credit": (402, "your balance is empty"),
    "invalid": (422, "width is too large"),
    "flagged": (422, "the prompt holds NSFW content"),
    "echo_key": (422, "bad header KEY"),
    "server_error": (500, "oops"),
}


def _error(status: int, words: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"problem": {"text": words}}, status=status, headers=headers)


def at_once(url: str, kind: str, **changes: Any) -> dict[str, Any]:
    """An instance of the type `http` for a picture in the answer: `raw`, `base64` or `url`."""
    return {
        "type": "http",
        "model": "anything",
        "price_usd": 0.02,
        "create": {
            "method": "POST",
            "url": f"{url}/v2/{kind}",
            "headers": {"X-Key": "{env:ANY_KEY}"},
            "body": {
                "text": "{prompt}",
                "seed": "{seed}",
                "w": "{width}",
                "picture": "{image}",
                "options": {"steps": "{steps}"},
            },
        },
        "output": {"kind": "bytes"} if kind == "raw" else {"kind": kind, "at": "/images/0"},
        "error": "/problem/text",
        "moderation": ["nsfw"],
        **changes,
    }


def polled(url: str, **changes: Any) -> dict[str, Any]:
    """An instance for tasks that are polled."""
    key = {"X-Key": "{env:ANY_KEY}"}
    return {
        **at_once(url, "url"),
        "create": {
            "method": "POST",
            "url": f"{url}/v2/tasks",
            "headers": key,
            "body": {"text": "{prompt}", "seed": "{seed}", "reference": "{job_id}", "picture": "{image}"},
        },
        "id": "/task/id",
        "poll": {"url": f"{url}/v2/tasks/{{id}}", "headers": key},
        "state": {"at": "/state", "succeeded": ["ready"], "failed": ["broken", "stopped"]},
        "output": {"kind": "url", "at": "/outputs/0/href"},
        "cancel": {"method": "DELETE", "url": f"{url}/v2/tasks/{{id}}", "headers": key},
        "passing": ["capacity"],
        "usual_latency_s": 0.05,
        "requests_per_min": 60_000.0,
        **changes,
    }


def lookup(url: str) -> dict[str, Any]:
    """The setting `find` for it."""
    return {
        "url": f"{url}/v2/tasks?reference={{job_id}}",
        "headers": {"X-Key": "{env:ANY_KEY}"},
        "items": "/found",
        "id": "/name",
        "patience_s": 0.3,
    }
