"""Pages that a service publishes about itself, read once before a run: bounded in size and time, and free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tasks.backends.client.proxies import ProxyRefused, UnusableProxy, find_proxy
from tasks.backends.client.transport import MOST_JSON_BYTES, build_ssl_context
from tasks.core.slow_answers import SlowAnswerGuard

TIMEOUT_S = 15.0
LONGEST_S = 60.0
"""For the whole page, so that a server that drips holds up no plan."""
NO_PAGE = (httpx.HTTPError, httpx.InvalidURL, UnusableProxy, ValueError, RecursionError)
"""All that a page that cannot be had, or cannot be read, raises."""


def fetch_page(url: str, headers: Mapping[str, str]) -> tuple[int, Any]:
    """Status and JSON of a page; an empty object with every status but 2xx. Blocks.

    Raises:
        httpx.HTTPError, UnusableProxy, ValueError, RecursionError: There is none that can be read.
    """
    # Not encoded, so that the bound on the bytes that came is the bound on memory.
    headers = {**headers, "Accept-Encoding": "identity", "User-Agent": "imagen"}
    proxy = find_proxy(httpx.URL(url))
    body = bytearray()
    with (
        SlowAnswerGuard(LONGEST_S) as guard,
        # The proxy is the one that find_proxy chose, as for all other calls.
        httpx.Client(proxy=proxy, verify=build_ssl_context(), trust_env=False, timeout=TIMEOUT_S) as http,
        http.stream("GET", url, headers=headers, extensions={"trace": guard.trace}) as answer,
    ):
        if proxy is not None and answer.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            raise ProxyRefused(proxy)
        for part in answer.iter_raw():
            body += part
            if len(body) > MOST_JSON_BYTES:
                raise httpx.ReadError("the page is too long")
        # A body without a length looks whole where its connection was closed.
        if guard.has_ended:
            raise httpx.ReadError("the page takes too long")
        # Trouble at the service is no statement about what it has; the batch goes on without the check.
        if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            answer.raise_for_status()
        return answer.status_code, json.loads(body) if answer.is_success else {}
