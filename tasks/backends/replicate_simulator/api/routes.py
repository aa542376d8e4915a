"""The addresses and their answers. Every call of the API is counted, and checked for its token and the rate."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from aiohttp import hdrs, web

from tasks.backends.replicate_simulator.api.answers import build_error
from tasks.backends.replicate_simulator.api.control import Control
from tasks.backends.replicate_simulator.api.create import Creates
from tasks.backends.replicate_simulator.api.delivery import Delivery
from tasks.backends.replicate_simulator.api.files import Files
from tasks.backends.replicate_simulator.api.problems import Problem, build_not_found, build_unauthenticated
from tasks.backends.replicate_simulator.api.reads import Reads
from tasks.backends.replicate_simulator.provider import Provider

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LARGEST_BODY = 120_000_000
CREATE = "create"
_TOKEN = re.compile(r"(?:Bearer|Token) (?!bad-)\S+")
"""Any token is good but those that are named bad-..."""


def build_api_app(provider: Provider, creates: Creates) -> web.Application:
    """The API and the rehearsal's own addresses."""
    app = web.Application(client_max_size=LARGEST_BODY)
    guard = Guard(provider)
    reads = Reads(provider)
    files = Files(provider)
    control = Control(provider)
    model = "/v1/models/{owner}/{name}"
    app.add_routes(
        [
            web.post("/v1/predictions", guard.wrap(CREATE, creates.by_version)),
            web.post(f"{model}/predictions", guard.wrap(CREATE, creates.by_model)),
            web.post("/v1/deployments/{owner}/{name}/predictions", guard.wrap(CREATE, creates.by_deployment)),
            web.get("/v1/predictions", guard.wrap("list", reads.list)),
            web.get("/v1/predictions/{id}", guard.wrap("get", reads.get)),
            web.post("/v1/predictions/{id}/cancel", guard.wrap("cancel", reads.cancel)),
            web.get(model, guard.wrap("model", reads.model)),
            web.get(f"{model}/versions/{{version}}", guard.wrap("model", reads.version)),
            web.post("/v1/files", guard.wrap("upload", files.create)),
            web.get("/v1/files/{id}", guard.wrap("file", files.get)),
            web.get("/v1/account", guard.wrap("account", reads.account)),
            web.get("/_simulator/truth", control.truth),
            web.post("/_simulator/faults", control.faults),
            web.route("*", "/{other:.*}", guard.wrap("other", _refuse_unknown)),
        ]
    )
    return app


def build_delivery_app(provider: Provider) -> web.Application:
    """The host of the files, which is the foreign one too, under another name."""
    app = web.Application()
    delivery = Delivery(provider)
    app.add_routes(
        [
            web.get("/delivery/xezq/{id}/{file}", delivery.file),
            web.get("/foreign/{rest:.*}", delivery.foreign),
        ]
    )
    return app


class Guard:
    """Stands before every call of the API."""

    def __init__(self, provider: Provider) -> None:
        """Count for `provider`."""
        self._provider = provider

    def wrap(self, kind: str, handler: Handler) -> Handler:
        """The handler with the guard before it."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            self._provider.tally.requests[kind] += 1
            try:
                self._check_token(request)
                headers = {} if kind == CREATE else self._provider.rates.pass_read()
                answer = await handler(request)
            except Problem as problem:
                if problem.status == web.HTTPTooManyRequests.status_code:
                    self._provider.tally.throttled[kind] += 1
                answer, headers = build_error(problem), {}
            date = formatdate(self._provider.now_s(), usegmt=True)
            answer.headers.update({**headers, hdrs.DATE: date})
            return answer

        return guarded

    def _check_token(self, request: web.Request) -> None:
        known = _TOKEN.fullmatch(request.headers.get(hdrs.AUTHORIZATION, ""))
        if known is None or self._provider.plan.strikes("unauthorized", request.path):
            raise build_unauthenticated()


async def _refuse_unknown(_: web.Request) -> web.StreamResponse:
    raise build_not_found()
