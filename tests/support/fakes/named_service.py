"""A stand-in for any image service by name: it answers in that API's shape, checks the key, and counts its bill."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import drop_connection
from tasks.backends.replicate_simulator.images import make_image
from tasks.core.presets import load_preset
from tests.support.fakes.service_shapes import BYTES, ID, IMAGE, SHAPES, URL, Answer, Shape
from tests.support.fakes.serving import Provider

TOKEN = "ya29.token"
"""Of a program that prints one."""
FAULTS = frozenset(
    {
        "bad_key",  # the key is wrong, in the service's own words
        "no_credit",  # the account is empty, or its day's quota used up
        "throttled",  # 429 with Retry-After
        "invalid",  # 422
        "echo_key",  # 422 whose words hold the key
        "refused",  # the prompt, at once or at the end
        "failed",  # ends without an image
        "drop_before",  # the connection closes, nothing made
        "drop_after",  # it closes though it was made
        "not_json",  # 200 with something else
        "stuck",  # never ends
    }
)


@dataclass
class NamedService(Provider):
    """The service."""

    name: str = ""
    known_faults: frozenset[str] = FAULTS
    billed_micros: int = 0
    looks: int = 1
    """Polls at which a prediction is still running."""
    ends: dict[str, str] = field(default_factory=dict)
    """The end of each prediction that is not a good one: the fault's name."""
    seen: dict[str, int] = field(default_factory=dict)
    """Polls of each prediction."""
    by_key: dict[str, str] = field(default_factory=dict)
    """The prediction of each idempotency key."""

    @property
    def shape(self) -> Shape:
        """Its answers."""
        return SHAPES[self.name]

    def app(self) -> web.Application:
        """Its routes: a POST creates, a GET looks."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self.create)
        app.router.add_get("/images/{id}.png", self.file)
        app.router.add_get("/{path:.*}", self.look)
        app.router.add_delete("/{path:.*}", self.cancel)
        return app

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A prediction, or what becomes of it."""
        if self.shape.session is not None and "Session" in request.path:
            return web.json_response(self.shape.session)
        if "dry_run" in request.query and self.is_let_in(request):
            return web.json_response({"object": "price_quote", "usd_micros": 60_000, "qualifier": "exact"})
        self.requests["create"] += 1
        if (refusal := self.refuse(request)) is not None:
            return refusal
        key = request.headers.get("Idempotency-Key", "")
        number = self.by_key.get(key) if key else None
        if number is None:
            number = f"pic-{len(self.created) + 1:04d}"
            self.make(number, (await request.read()).decode(errors="replace"))
            self.by_key |= {key: number} if key else {}
        if self.strikes("drop_after"):
            return drop_connection(request)
        if self.strikes("not_json"):
            return web.Response(text="<html>", content_type="text/html")
        is_failed = self.shape.ended is None and self.ends.get(number) == "failed"
        return self.answer((200, self.shape.failed if is_failed else self.shape.created), number)

    def make(self, number: str, body: str) -> None:
        """A new prediction; what comes of it is billed now."""
        self.created.append({"body": body})
        ends = next((fault for fault in ("refused", "failed") if self.strikes(fault)), "")
        self.ends[number] = ends
        self.billed_micros += {"refused": self.shape.refused_micros, "failed": 0}.get(ends, self.shape.micros)

    def refuse(self, request: web.Request) -> web.StreamResponse | None:
        """The answer where nothing is made."""
        if self.strikes("drop_before"):
            return drop_connection(request)
        if self.strikes("bad_key") or not self.is_let_in(request):
            return self.answer(self.shape.bad_key, "")
        for fault, refusal in self.list_refusals().items():
            if self.strikes(fault):
                return self.answer(refusal, "")
        # What is refused at once was never made, unless it is billed all the same.
        if not self.shape.refused_late and self.faults.get("refused", 0) > 0:
            self.strikes("refused")
            self.billed_micros += self.shape.refused_micros
            return self.answer(self.shape.refused, "")
        return None

    def list_refusals(self) -> dict[str, Answer]:
        """What is answered to a request that makes nothing."""
        words = {"throttled": (429, "slowly"), "invalid": (422, "width is too large"), "echo_key": (422, self.key)}
        usual = {fault: (status, {"error": {"message": text}}) for fault, (status, text) in words.items()}
        return {**usual, "no_credit": self.shape.no_credit}

    def is_let_in(self, request: web.Request) -> bool:
        """True if the key is there, or none is needed."""
        if load_preset(self.name).key is None:
            return True
        secret = TOKEN if "token_command" in load_preset(self.name).instance else self.key
        given = request.headers.get(self.shape.auth, "").removeprefix("Bearer ")
        if not given and self.shape.takes_bearer:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return given == secret

    async def look(self, request: web.Request) -> web.StreamResponse:
        """A poll, or the result."""
        self.requests["poll"] += 1
        number = ["", *re.findall(r"pic-\d+", request.path)][-1]
        if not self.is_let_in(request):
            return self.answer(self.shape.bad_key, "")
        if not number:  # a look at the account, or at a model
            return web.json_response({"id": self.name})
        if number not in self.ends:
            return web.json_response({"detail": "not found"}, status=404)
        if self.shape.result is not None and not request.path.endswith("/status"):
            return self.answer((200, self.shape.result), number)
        self.seen[number] = self.seen.get(number, 0) + 1
        if self.seen[number] <= self.looks or self.faults.get("stuck", 0) > 0:
            return self.answer((200, self.shape.running), number)
        ended: Answer = (200, self.shape.ended)
        if self.ends[number] == "refused":
            ended = self.shape.refused
        return self.answer((200, self.shape.failed) if self.ends[number] == "failed" else ended, number)

    def answer(self, answer: Answer, number: str) -> web.StreamResponse:
        """One answer, filled in."""
        status, document = answer
        data = make_image(number or "0", "png", (64, 64), kb=2)
        if document == BYTES:
            return web.Response(body=data, content_type="image/png", headers=dict(self.shape.headers))
        text = json.dumps(document).replace(URL, self.url).replace(ID, number)
        text = text.replace(IMAGE, base64.b64encode(data).decode())
        # Without a time, a 429 that is no limit but an empty account is told by its words alone.
        headers = {"Retry-After": "7"} if status == 429 and "slowly" in text else {}
        return web.Response(text=text, status=status, content_type="application/json", headers=headers)

    async def file(self, request: web.Request) -> web.Response:
        """An image at its address."""
        self.key_leaks += self.key in str(request.headers)
        data = make_image(request.match_info["id"], "png", (64, 64), kb=2)
        return web.Response(body=data, content_type="image/png")

    async def cancel(self, request: web.Request) -> web.Response:
        """Stop a prediction."""
        self.requests["cancel"] += 1
        return web.json_response({})


def build_instance(name: str, url: str, **changes: Any) -> dict[str, Any]:
    """The service's instance with the stand-in's address in place of its own hosts."""
    text = json.dumps(load_preset(name).instance)
    text = text.replace("{env:AZURE_OPENAI_RESOURCE}.openai.azure.com", "azure.example")
    for host in find_hosts(json.loads(text)):
        text = text.replace(host, url)
    instance: dict[str, Any] = json.loads(text) | {"service": name, "usual_latency_s": 0}
    if instance["type"] == "http":
        instance |= {"requests_per_min": 60_000, "delivery_hosts": ["127.0.0.1"]}
    # A command for a token is run only where a file names it; what it would give is written in its place.
    if instance.pop("token_command", None) is not None:
        instance = json.loads(json.dumps(instance).replace("{token}", TOKEN))
    return instance | changes


def find_hosts(instance: dict[str, Any]) -> set[str]:
    """Scheme and host of every address in the settings."""
    urls = [part.get("url") for part in instance.values() if isinstance(part, dict)]
    urls += [instance.get("api_base"), (instance.get("output") or {}).get("base")]
    return {"/".join(str(url).split("/", 3)[:3]) for url in urls if url}


def list_variables() -> set[str]:
    """Every environment variable that a service needs."""
    from tasks.core.presets import list_presets  # noqa: PLC0415  beside its use

    keys = {str(load_preset(name).key) for name in list_presets() if load_preset(name).key}
    return keys | {"CLOUDFLARE_ACCOUNT_ID", "AZURE_OPENAI_RESOURCE", "GOOGLE_CLOUD_PROJECT"}
