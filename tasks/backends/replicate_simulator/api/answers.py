"""The forms of an answer: JSON, an error, a page that is not JSON, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.problems import Problem

PROBLEM_JSON = "application/problem+json"
BAD_GATEWAY_PAGE = """<!DOCTYPE html>
<html><head><title>api.replicate.com | 502: Bad gateway</title></head>
<body><h1>Bad gateway <span>Error code 502</span></h1></body></html>
"""
GATEWAY_TIMEOUT_PAGE = BAD_GATEWAY_PAGE.replace("502", "504").replace("Bad gateway", "Gateway time-out")


def build_json(body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with a body of JSON."""
    return web.Response(
        # Prompts with lone surrogates come back as they were sent.
        body=json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def build_error(problem: Problem) -> web.Response:
    """An answer that says what is wrong; a line end follows its JSON, as in captured ones."""
    return web.Response(
        body=json.dumps(problem.body).encode() + b"\n",
        status=problem.status,
        headers=problem.headers,
        content_type=PROBLEM_JSON,
    )


def build_page(text: str, status: int) -> web.Response:
    """An answer of HTML."""
    return web.Response(text=text, status=status, content_type="text/html")


def drop_connection(request: web.Request) -> web.Response:
    """Close the connection; the client gets no answer at all."""
    if request.transport is not None:
        # `abort` sends a reset: the client sees a lost connection, and not an end without an answer.
        request.transport.abort()
    return web.Response()
