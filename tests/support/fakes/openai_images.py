"""A stand-in for OpenAI's images API: answers, errors and headers as its reference and captured answers have them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import drop_connection
from tasks.backends.replicate_simulator.images import make_image
from tests.support.fakes.serving import Provider

FAULTS = frozenset(
    {
        "unauthorized",  # 401
        "not_verified",  # 403: the organization must be verified
        "insufficient_quota",  # 429 that no waiting helps
        "billing_hard_limit",  # 400
        "throttled",  # 429 with the headers of the rate
        "throttled_words",  # 429 that says it in words only
        "moderation_prompt",  # 400 before a picture was made
        "moderation_output",  # 400 after it was made
        "invalid",  # 400
        "server_error",  # 500, nothing made
        "overloaded_html",  # 503 with a page
        "drop_before",  # the connection closes, nothing made
        "drop_after",  # it closes though the picture was made
        "drop_middle",  # it closes in the middle of the picture
        "hang_after",  # no answer, though it was made
        "not_json",  # 200 with something else
        "damaged_base64",  # 200 with a picture that cannot be decoded
        "no_data",  # 200 without a picture
        "no_usage",  # 200 without tokens
        "echo_key",  # 400 whose words hold the key
        "as_url",  # the picture as an address
        "url_gone",  # 404 at that address
    }
)
OUTPUT_TOKENS = 272
INPUT_TOKENS = 13
IMAGE_TOKENS = 323
"""Of a picture that one starts from."""


@dataclass
class OpenAIImages(Provider):
    """The service."""

    known_faults: frozenset[str] = FAULTS
    picture_kb: int = 2
    latency_s: float = 0.0
    client_request_ids: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_post("/v1/images/generations", self.generate)
        app.router.add_post("/v1/images/edits", self.edit)
        app.router.add_get("/files/{name}", self.file)
        return app

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/images/generations`."""
        self.requests["generate"] += 1
        self.client_request_ids.append(request.headers.get("X-Client-Request-Id", ""))
        return await self.made(request, await request.json())

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/images/edits`: a form with files, or JSON with addresses."""
        self.requests["edit"] += 1
        self.client_request_ids.append(request.headers.get("X-Client-Request-Id", ""))
        body = await request.json() if request.content_type == "application/json" else await read_form(request)
        if not (body.get("image") or body.get("images")):
            return error(400, "Missing required parameter: 'image'.", code="missing_required_parameter")
        return await self.made(request, body)

    async def made(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        """A picture, or what becomes of it."""
        if (refusal := self.refusal(request, body)) is not None:
            return refusal
        await asyncio.sleep(self.latency_s)
        self.created.append(body)
        if self.strikes("moderation_output"):
            return error(
                400,
                "Your request was rejected by the safety system.",
                code="moderation_blocked",
                moderation_stage="output",
            )
        if self.strikes("drop_after"):
            return drop_connection(request)
        if self.strikes("hang_after"):
            await asyncio.sleep(3_600)
        return await self.answered(request, body)

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        """The answer instead of an image when none is made."""
        if self.strikes("drop_before"):
            return drop_connection(request)
        if request.headers.get("Authorization") != f"Bearer {self.key}" or self.strikes("unauthorized"):
            return error(401, "Incorrect API key provided.", code="invalid_api_key")
        if self.strikes("throttled"):
            headers = {"x-ratelimit-limit-requests": "50", "x-ratelimit-reset-requests": "1m30s"}
            return error(429, "Rate limit reached", code="rate_limit_exceeded", headers=headers)
        if self.strikes("overloaded_html"):
            return web.Response(status=503, text="<html>overloaded</html>", content_type="text/html")
        return self.wrong(body)

    def wrong(self, body: dict[str, Any]) -> web.Response | None:
        """An error object for a fault that is no more than one, or for a body that is wrong."""
        for name, (status, code, message) in _REFUSALS.items():
            if self.strikes(name):
                return error(status, message.replace("KEY", self.key), code=code)
        if not isinstance(body.get("prompt"), str) or body.get("n", 1) != 1:
            return error(400, "Missing required parameter: 'prompt'.", code="missing_required_parameter")
        return None

    async def answered(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        """A picture, as it is asked for."""
        answer = self.image(body)
        text = json.dumps(answer)
        headers = {"x-request-id": f"req_{len(self.created)}", "Content-Type": "application/json"}
        if self.strikes("not_json"):
            text = "<html>200</html>"
        if self.strikes("drop_middle"):
            response = web.StreamResponse(headers={**headers, "Content-Length": str(len(text))})
            await response.prepare(request)
            await response.write(text[: len(text) // 2].encode())
            drop_connection(request)
            return response
        return web.Response(text=text, headers=headers)

    def image(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body of an answer."""
        self.requests["images"] += 1
        name = f"{self.requests['images']}"
        width, height = (int(side) for side in str(body.get("size", "64x64")).split("x"))
        kind = {"jpeg": "jpg"}.get(body.get("output_format", "png"), body.get("output_format", "png"))
        data = make_image(name, kind, (width // 16, height // 16), kb=self.picture_kb)
        encoded = base64.b64encode(data).decode()
        item: dict[str, Any] = {"b64_json": encoded[:-3] + "*" if self.strikes("damaged_base64") else encoded}
        if self.strikes("as_url"):
            item = {"url": f"{self.url}/files/{name}.png", "revised_prompt": "a fox"}
        answer: dict[str, Any] = {"created": int(time.time()), "data": [] if self.strikes("no_data") else [item]}
        if not self.strikes("no_usage"):
            seen = IMAGE_TOKENS if body.get("image") or body.get("images") else 0
            answer["usage"] = {
                "input_tokens": INPUT_TOKENS + seen,
                "input_tokens_details": {"image_tokens": seen, "text_tokens": INPUT_TOKENS},
                "output_tokens": OUTPUT_TOKENS,
                "total_tokens": INPUT_TOKENS + seen + OUTPUT_TOKENS,
            }
        return answer

    async def file(self, request: web.Request) -> web.Response:
        """A picture at an address."""
        self.key_leaks += self.key in str(request.headers)
        if self.strikes("url_gone"):
            return web.Response(status=404)
        return web.Response(
            body=make_image(request.match_info["name"], "png", (64, 64), kb=2), content_type="image/png"
        )


_REFUSALS = {
    "not_verified": (403, None, "Your organization must be verified to use the model."),
    "insufficient_quota": (429, "insufficient_quota", "You exceeded your current quota."),
    "billing_hard_limit": (400, "billing_hard_limit_reached", "Billing hard limit has been reached."),
    "throttled_words": (
        429,
        "rate_limit_exceeded",
        "Rate limit reached for gpt-image-1.5 on input-images per min: Limit 5, Used 5, Requested 1. Please try again in 12s.",
    ),
    "moderation_prompt": (400, "moderation_blocked", "Your request was rejected by the safety system."),
    "echo_key": (400, "invalid_value", "Bad header: Bearer KEY"),
    "invalid": (400, "invalid_value", "Invalid size."),
    "server_error": (500, None, "The server had an error while processing your request."),
}


async def read_form(request: web.Request) -> dict[str, Any]:
    """The fields of a form; a file as its name, type and bytes."""
    form = await request.post()
    files = {name: part for name, part in form.items() if isinstance(part, web.FileField)}
    body: dict[str, Any] = {name: value for name, value in form.items() if name not in files}
    body |= {name: (part.filename, part.content_type, part.file.read()) for name, part in files.items()}
    return {**body, "n": int(body.get("n", 1))}


def error(
    status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None, **more: Any
) -> web.Response:
    """An error object as the API sends it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}
    return web.json_response(body, status=status, headers=headers)
