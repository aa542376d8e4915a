"""Connections of the transport: each request leaves once, and one that is given up leaves no more."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import MutableMapping
from typing import Any, cast
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from tasks.backends.client.proxies import UnusableProxy
from tasks.core.errors import LeaseLost
from tasks.core.last_check import make_last_check
from tasks.core.slow_answers import SLOWEST_BYTES_PER_S

NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    UnusableProxy,
)
"""Only these prove that a request never left. The transport calls a dropped connection a `ConnectTimeout` too
(httpx-aiohttp 0.2.0), so what counts is the error underneath, never httpx's name for it."""

NAME_CERTIFICATES = "; if you trust it, name its certificate in SSL_CERT_FILE"


def explain_unreached(words: str) -> str:
    """Say why a service cannot be reached, from the words of the error, and what helps against an unknown certificate."""
    return f"the service cannot be reached ({words})" + NAME_CERTIFICATES * ("CERTIFICATE_VERIFY_FAILED" in words)


READ_BYTES = 256 * 1024
"""Read from a connection at once, which is as much as asyncio takes from it; in httpx-aiohttp's 16 KiB an image of a megabyte
passes through the layers of three libraries eighty times."""

LATE_S = 1.0
"""Lateness of a timer, beyond which this process was stopped or had no time to read."""

LONGEST_SENDING_S = 3_600.0

RESET_ON_CLOSE = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER of no seconds: what has not arrived when the socket closes is dropped, and the other side is told."""


class Pool(AiohttpTransport):
    """The connections through one proxy, or through none."""

    def get_client(self) -> aiohttp.ClientSession:
        """The session behind it."""
        connector = _Connector(
            limit=self.limits.max_connections or 0,  # aiohttp's 0 means no limit
            keepalive_timeout=self.limits.keepalive_expiry,
            ssl=self.ssl_context,
            socket_factory=_open_socket,
        )
        checked = aiohttp.TraceConfig()
        checked.on_request_chunk_sent.append(_check_before_body)
        return aiohttp.ClientSession(
            connector=connector,
            middlewares=(connector.send_once,),
            trace_configs=[checked],
            read_bufsize=READ_BYTES,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body not read yet."""
        try:
            answer = await super().handle_async_request(request)
        except aiohttp.ClientError as exc:
            # Its own words hold the address, and so perhaps a secret.
            raise httpx.RemoteProtocolError(f"the answer is no HTTP ({type(exc).__name__})", request=request) from exc
        cast("AiohttpResponseStream", answer.stream).CHUNK_SIZE = READ_BYTES
        return answer


class _Connector(aiohttp.TCPConnector):
    """Remembers which connection a request leaves on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: MutableMapping[aiohttp.ClientRequest, Any] = WeakKeyDictionary()
        self._timers: MutableMapping[aiohttp.ClientRequest, _AnswerTimer] = WeakKeyDictionary()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  of aiohttp's interface
    ) -> Any:
        connection = await super().connect(req, traces, timeout)
        try:
            # The wait for a connection may have taken longer than whoever sends may send, a machine's sleep included.
            make_last_check()
        except BaseException:
            connection.release()  # nothing was written on it
            raise
        self._used[req] = connection.transport
        if patience_s := timeout.sock_read:
            # How long a body without a length takes, nobody knows; only its answer is timed then.
            is_timed = "transfer-encoding" not in req.headers
            sending_s = (
                int(req.headers.get("content-length", 0)) / SLOWEST_BYTES_PER_S if is_timed else LONGEST_SENDING_S
            )
            # The connection's own time-out comes first, for it tells a silent server from one that drips.
            self._timers[req] = _AnswerTimer(connection, patience_s + LATE_S, sending_s=sending_s)
        return connection

    async def send_once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A dropped GET, PUT or DELETE is sent again by aiohttp, unseen; where that is a create, it is paid for twice."""
        try:
            answer = await handler(request)
        # aiohttp repeats idempotent requests on these errors only; a plain ClientConnectionError is passed on.
        except NEVER_SENT:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
            raise aiohttp.ClientConnectionError(str(exc)) from exc
        # A time-out or a cancel closes the connection, but a closed one still sends what is in its buffers.
        except BaseException as exc:
            if (transport := self._used.get(request)) is not None:
                transport.abort()
            # A check that refused the body comes as a failure to write it.
            if isinstance(exc.__cause__, LeaseLost):
                raise exc.__cause__ from None
            raise
        if (timer := self._timers.pop(request, None)) is not None:
            timer.begin_body(answer.content)
        return answer


class _AnswerTimer:
    """Gives up an answer that drips: lines of its head, 1xx answers without an end, or its body.

    aiohttp's own time-out begins anew with each byte.
    """

    def __init__(self, connection: Any, patience_s: float, *, sending_s: float) -> None:
        self._protocol, self._patience_s = connection.protocol, patience_s
        self._body: aiohttp.StreamReader | None = None
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._start(self._begun_s + sending_s + patience_s)
        # The connection serves other requests after this one.
        connection.add_callback(self.stop)

    def begin_body(self, body: aiohttp.StreamReader) -> None:
        """The head is there; the body has as long again, and the time of its bytes."""
        self._body, self._begun_s = body, self._loop.time()

    def _start(self, due_s: float) -> None:
        self._due_s = due_s
        self._handle = self._loop.call_at(due_s, self._end)

    def _end(self) -> None:
        now_s = self._loop.time()
        bytes_s = 0.0 if self._body is None else self._body.total_bytes / SLOWEST_BYTES_PER_S
        due_s = now_s if self._body is None else self._begun_s + self._patience_s + bytes_s
        # After a stop of the process a paid answer may lie unread, so nothing is given up by a timer that comes late.
        if now_s - self._due_s > LATE_S:
            due_s = now_s + self._patience_s
        if due_s > now_s:
            self._start(due_s)
            return
        slow = aiohttp.SocketTimeoutError("the answer comes too slowly")
        # The body first: a connection that closes would make a part of it look whole.
        for waiting in (self._body, self._protocol):
            if waiting is not None:
                waiting.set_exception(slow)

    def stop(self) -> None:
        self._handle.cancel()


async def _check_before_body(*_: Any) -> None:
    """Make the last check where a part of a body is about to leave, and with the first one the head."""
    # A task of its own writes it, one turn of the event loop after the connection was there: what else had this turn may
    # have kept the loop for longer than the lease. Despite its name, aiohttp's signal comes before the bytes leave.
    make_last_check()


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose kernel buffer is dropped on close, also when this process is killed.

    A network that comes back after a minute would deliver the create from there, after the look-up that found nothing.
    """
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    return opened
