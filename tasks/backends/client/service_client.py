"""httpx's client without what no service here needs: cookies, logins of addresses, redirects, and a log line for each call.

They cost as much as the call itself where thousands of images are fetched. Requests, answers and errors are httpx's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from tasks.backends.client.transport import Transport

PATHS_KEPT = 256
"""Whole addresses that a client remembers, by the path that they were asked for with."""
LONGEST_PATH = 500
"""Characters; a longer one is a signed address or a service's own word, and comes once."""


class ServiceClient(httpx.AsyncClient):
    """A client over one transport; usable inside one event loop."""

    def __init__(
        self, *, transport: Transport, sign: Callable[[httpx.Request], None] | None = None, **options: Any
    ) -> None:
        """Send through this transport; `sign` puts a signature into each whole request; options as httpx's client has them."""
        super().__init__(transport=transport, **options)
        self._connections = transport
        self._sign = sign
        self._addresses: dict[str, httpx.URL] = {}

    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        """As httpx has it."""
        # httpx parses a path and joins it with the base address character by character, and every create has the same one.
        path = url if isinstance(url, str) and len(url) <= LONGEST_PATH and not options.get("params") else None
        if path is None or path not in self._addresses:
            request = super().build_request(method, url, **options)
            if path is not None:
                # A look at a single prediction has a path of its own, so the oldest one goes for each new one.
                while len(self._addresses) >= PATHS_KEPT:
                    del self._addresses[next(iter(self._addresses))]
                self._addresses[path] = request.url
            return request
        return super().build_request(method, self._addresses[path], **options)

    async def send(self, request: httpx.Request, *, stream: bool = False, **_: Any) -> httpx.Response:
        """The answer, its body read unless `stream`. Every other way to make a call comes here.

        Raises:
            httpx.HTTPError: As httpx has it; the request is in the error.
        """
        if self._sign is not None:
            self._sign(request)
        try:
            answer = await self._connections.handle_async_request(request)
        except httpx.RequestError as exc:
            exc.request = request
            raise
        try:
            for hook in self.event_hooks["response"]:
                await hook(answer)
            if not stream:
                await answer.aread()
        # Also a cancelled call: a connection whose answer nobody reads would stay taken.
        except BaseException:
            await answer.aclose()
            raise
        return answer
