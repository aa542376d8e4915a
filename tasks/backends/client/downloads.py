"""Fetching pictures: without the token, from allowed hosts only, bounded, and repeatable at no cost."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from fnmatch import fnmatch
from urllib.parse import unquote_to_bytes

import httpx

from tasks.backends.client.transport import Transport
from tasks.core.errors import BadImage, JobError, OutputGone, Unfetched

MOST_BYTES = 64 * 1024 * 1024
MOST_REDIRECTS = 3
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
LONGEST_S = 180.0
"""For one picture, so that a host that drips does not hold a job for hours."""
GONE = {httpx.codes.NOT_FOUND, httpx.codes.GONE, httpx.codes.FORBIDDEN, httpx.codes.UNAUTHORIZED}
"""A picture that is gone or refused; the token is never sent to find out more."""


class Delivery:
    """Fetches outputs; usable inside one event loop."""

    def __init__(self, hosts: Sequence[str], *, connections: int) -> None:
        """Fetch from these hosts (`*.` for their subdomains) with at most so many connections."""
        self._hosts = tuple(hosts)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = httpx.AsyncClient(timeout=TIMEOUT, transport=Transport(limits=limits))

    async def fetch(self, address: str) -> bytes:
        """The bytes at an https, http or data address.

        Raises:
            Unfetched: They did not come, or not whole; asking again may help.
            BadImage: A data address is damaged.
            OutputGone: They are not there any more.
            JobError: The address is not one that we fetch from.
        """
        if address.startswith("data:"):
            return _decode_data_url(address)
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._follow(address)
        except TimeoutError as exc:
            raise Unfetched(f"the picture did not come within {LONGEST_S:.0f} s") from exc
        except httpx.HTTPError as exc:
            raise Unfetched(f"the picture could not be fetched ({type(exc).__name__}: {exc})") from exc
        except httpx.InvalidURL as exc:
            raise _build_host_error(f"the picture's address cannot be read ({exc})") from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _follow(self, address: str) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            self._check(address)
            async with self._http.stream("GET", address) as answer:
                if not answer.has_redirect_location:
                    return await _read_body(answer)
                address = str(answer.url.join(answer.headers["location"]))
        raise _build_host_error(f"the picture's address leads on and on ({address})")

    def _check(self, address: str) -> None:
        url = httpx.URL(address)
        if url.scheme not in {"http", "https"} or not any(fnmatch(url.host, pattern) for pattern in self._hosts):
            raise _build_host_error(
                f"the picture lies at {url.host or address[:60]!r}, which is not among delivery_hosts"
            )


def _build_host_error(message: str) -> JobError:
    return JobError(message, kind="foreign_host", cost_micros=None)


async def _read_body(answer: httpx.Response) -> bytes:
    if answer.status_code in GONE:
        raise OutputGone(f"the picture is gone ({answer.status_code})", cost_micros=None)
    if not answer.is_success:
        raise Unfetched(f"the picture's host answered {answer.status_code}")
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            raise JobError(f"the picture is larger than {MOST_BYTES} bytes", kind="too_large", cost_micros=None)
    expected = answer.headers.get("content-length")
    if expected is not None and "content-encoding" not in answer.headers and len(body) != int(expected):
        raise Unfetched(f"only {len(body)} of {expected} bytes came")
    return bytes(body)


def _decode_data_url(address: str) -> bytes:
    head, _, payload = address.partition(",")
    try:
        return base64.b64decode(payload, validate=True) if head.endswith(";base64") else unquote_to_bytes(payload)
    except binascii.Error as exc:
        raise BadImage(f"the picture's data address is damaged ({exc})") from exc
