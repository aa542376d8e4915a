"""A stand-in for fal.ai's queue: submit, status, result, cancel, and its errors as the documentation has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import drop_connection
from tasks.backends.replicate_simulator.images import make_image
from tests.support.fakes.serving import Provider

FAULTS = frozenset(
    {
        "unauthorized",  # 401
        "locked",  # 403: the balance is exhausted
        "throttled",  # 429
        "not_found",  # 404: no such model
        "echo_key",  # 400 whose words hold the key
        "server_error",  # 500 to a submit, nothing created
        "drop_before",  # the connection closes, nothing created
        "drop_after",  # it closes though it was created
        "not_json",  # 200 with something else
        "status_error",  # 502 of a gateway to a status
        "gateway_result",  # 502 of a gateway to a result
        "forgotten",  # 404 to a status
        "stuck",  # IN_QUEUE for ever
        "content_policy",  # result: 422 content_policy_violation
        "bad_input",  # result: 422
        "runner_error",  # result: 503 runner_disconnected
        "start_timeout",  # result: 504, not started in time
        "nsfw",  # result: a black picture
        "no_images",  # result: none
        "single_image",  # result: one image object
    }
)
MODEL = "fal-ai/flux/schnell"


@dataclass
class FalQueue(Provider):
    """The service."""

    known_faults: frozenset[str] = FAULTS
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    timeouts: list[str] = field(default_factory=list)
    looks: int = 1
    """Looks at which a request is still in the queue."""

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_get("/fal-ai/flux/requests/{id}/status", self.status)
        app.router.add_get("/fal-ai/flux/requests/{id}", self.result)
        app.router.add_put("/fal-ai/flux/requests/{id}/cancel", self.cancel)
        app.router.add_get("/files/{name}", self.file)
        app.router.add_post("/{model:.+}", self.submit)
        return app

    async def submit(self, request: web.Request) -> web.Response:
        """`POST /{model}`."""
        self.requests["submit"] += 1
        if self.strikes("drop_before"):
            return drop_connection(request)
        if not self.knows(request) or self.strikes("unauthorized"):
            return _error(401, "Cannot access application. Authentication is required.")
        for name, (status, words) in _REFUSALS.items():
            if self.strikes(name):
                return _error(status, words.replace("KEY", self.key))
        self.timeouts.append(request.headers.get("X-Fal-Request-Timeout", ""))
        body = await request.json()
        request_id = f"00000000-0000-4000-8000-{len(self.jobs):012d}"
        self.created.append(body)
        self.jobs[request_id] = {"looks": self.looks, "input": body}
        if self.strikes("drop_after"):
            return drop_connection(request)
        if self.strikes("not_json"):
            return web.Response(text="<html>")
        base = f"{self.url}/fal-ai/flux/requests/{request_id}"
        urls = {"response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}
        return web.json_response({"status": "IN_QUEUE", "request_id": request_id, "queue_position": 0, **urls})

    async def status(self, request: web.Request) -> web.Response:
        """`GET /{app}/requests/{id}/status`: 202 while it runs."""
        self.requests["status"] += 1
        job, request_id = self.jobs.get(request.match_info["id"]), request.match_info["id"]
        if self.strikes("status_error"):
            return web.Response(status=502, text="<html>nginx</html>", content_type="text/html")
        if job is None or self.strikes("forgotten"):
            return _error(404, "Request not found")
        if not self.knows(request):
            return _error(401, "Authentication is required.")
        job["looks"] -= 1
        if job["looks"] >= 0 or self.strikes("stuck"):
            return web.json_response({"status": "IN_QUEUE", "request_id": request_id, "queue_position": 0}, status=202)
        done = {"status": "COMPLETED", "request_id": request_id, "logs": None, "metrics": {"inference_time": 0.25}}
        return web.json_response(done)

    async def result(self, request: web.Request) -> web.Response:
        """`GET /{app}/requests/{id}`: what the model answered."""
        self.requests["result"] += 1
        if self.strikes("gateway_result"):
            return web.Response(status=502, text="<html>nginx</html>", content_type="text/html")
        for name, (status, body) in _ENDS.items():
            if self.strikes(name):
                headers = {"X-Fal-Error-Type": body["error_type"]} if "error_type" in body else {}
                return web.json_response(body, status=status, headers={**headers, "x-fal-request-id": "x"})
        size = self.jobs[request.match_info["id"]]["input"].get("image_size", {"width": 1024, "height": 768})
        image = {"url": f"{self.url}/files/{request.match_info['id']}.png", "content_type": "image/png", **size}
        body = {"images": [image], "seed": 7, "has_nsfw_concepts": [self.strikes("nsfw")], "prompt": "a fox"}
        if self.strikes("no_images"):
            body["images"] = []
        return web.json_response({"image": image} if self.strikes("single_image") else body)

    async def cancel(self, request: web.Request) -> web.Response:
        """`PUT /{app}/requests/{id}/cancel`."""
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            return web.json_response({"status": "NOT_FOUND"}, status=404)
        if job["looks"] < 0:
            return web.json_response({"status": "ALREADY_COMPLETED"}, status=400)
        self.cancelled.append(request.match_info["id"])
        return web.json_response({"status": "CANCELLATION_REQUESTED"}, status=202)

    async def file(self, request: web.Request) -> web.Response:
        """A picture."""
        self.key_leaks += self.key in str(request.headers)
        return web.Response(
            body=make_image(request.match_info["name"], "png", (64, 48), kb=2), content_type="image/png"
        )

    def knows(self, request: web.Request) -> bool:
        """True if the key is the account's."""
        return request.headers.get("Authorization") == f"Key {self.key}"


_REFUSALS = {
    "locked": (403, "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."),
    "throttled": (429, "Too many requests"),
    "not_found": (404, "Application 'nothing' not found"),
    "echo_key": (400, "bad key KEY"),
    "server_error": (500, "Internal Server Error"),
}
_ENDS: dict[str, tuple[int, dict[str, Any]]] = {
    "content_policy": (
        422,
        {"detail": [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]},
    ),
    "bad_input": (422, {"detail": [{"loc": ["body", "steps"], "msg": "too many", "type": "less_than_equal"}]}),
    "runner_error": (503, {"detail": "Runner disconnected", "error_type": "runner_disconnected"}),
    "start_timeout": (504, {"detail": "Not started in time", "error_type": "startup_timeout"}),
}


def _error(status: int, words: str) -> web.Response:
    return web.json_response({"detail": words}, status=status)


def instance(url: str, **changes: Any) -> dict[str, Any]:
    """An instance that talks to the stand-in."""
    return {
        "type": "fal",
        "model": MODEL,
        "queue_base": url,
        "usual_latency_s": 0.05,
        "requests_per_min": 60_000.0,
        "delivery_hosts": ["127.0.0.1"],
        **changes,
    }
