"""How httpx's requests travel: over aiohttp, each one once, and every error is one of httpx's."""

from __future__ import annotations

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Only these prove that a request never left. The transport calls a dropped connection a `ConnectTimeout` too
(httpx-aiohttp 0.2.0), so what counts is the error underneath, never httpx's name for it."""


class Transport(AiohttpTransport):
    """One connection pool; usable inside one event loop."""

    def get_client(self) -> aiohttp.ClientSession:
        """The session behind it."""
        connector = aiohttp.TCPConnector(
            limit=self.limits.max_connections or 0,
            keepalive_timeout=self.limits.keepalive_expiry,
            ssl=self.ssl_context,
        )
        return aiohttp.ClientSession(connector=connector, middlewares=(_send_once,))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body not read yet."""
        try:
            return await super().handle_async_request(request)
        except aiohttp.ClientError as exc:
            # Its own words hold the address, and so perhaps a secret.
            raise httpx.RemoteProtocolError(f"the answer is no HTTP ({type(exc).__name__})", request=request) from exc


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A dropped GET, PUT or DELETE is sent again by aiohttp, unseen; where that is a create, it is paid for twice."""
    try:
        return await handler(request)
    except NEVER_SENT:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise aiohttp.ClientConnectionError(str(exc)) from exc
