"""Fetching images: without the token, from allowed hosts only, bounded, and repeatable at no cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatch

import httpx

from tasks.backends.client.digests import check_digest
from tasks.backends.client.payloads import decode_data_url, is_data_address
from tasks.backends.client.service_client import ServiceClient
from tasks.backends.client.transport import MOST_BYTES, MOST_IMAGE_BYTES, TooLarge, Transport
from tasks.core.errors import BadImage, JobError, OutputGone, Unfetched, UnreadableAnswer

# Storages redirect once, to a nearer copy; more than a few is a loop.
MOST_REDIRECTS = 3
# Seconds; 30 for a pause between two parts, since the whole has its own limit.
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
FOREIGN_HOST = "foreign_host"
"""Kind of the error of an image at a host that the configuration does not name."""
LONGEST_S = 180.0
"""For one image, so that a host that drips does not hold a job for hours."""
# 403 and 401 are here because signed addresses answer so once they have run out (Azure, S3; Google answers 400).
GONE = {httpx.codes.NOT_FOUND, httpx.codes.GONE, httpx.codes.FORBIDDEN, httpx.codes.UNAUTHORIZED}
"""An image that is gone or refused; the token is never sent to find out more."""


class Delivery:
    """Fetches outputs; usable inside one event loop."""

    def __init__(self, hosts: Sequence[str], *, connections: int) -> None:
        """Fetch from these hosts (`*.` for their subdomains) with at most so many connections."""
        self._hosts = tuple(hosts)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        # A client of its own, without the service's headers: the token must not travel to a storage's host.
        self._http = ServiceClient(timeout=TIMEOUT, transport=Transport(limits=limits))

    async def fetch(self, address: str) -> bytes:
        """The bytes at an https, http or data address.

        Raises:
            Unfetched: They did not come, or not whole; asking again may help.
            BadImage: A data address is damaged.
            OutputGone: They are not there any more.
            JobError: The address is not one that we fetch from.
        """
        # Some services send small images inside the answer as `data:` addresses (Replicate in October 2024).
        if is_data_address(address):
            return _decode_data_url(address)
        try:
            # A limit for the whole image: httpx's time-outs only bound each pause between two parts.
            async with asyncio.timeout(LONGEST_S):
                return await self._follow(address)
        except TimeoutError as exc:
            raise Unfetched(f"the image did not come within {LONGEST_S:.0f} s") from exc
        except httpx.HTTPError as exc:
            raise Unfetched(f"the image could not be fetched ({type(exc).__name__}: {exc})") from exc
        except httpx.InvalidURL as exc:
            raise _build_host_error(f"the image's address cannot be read ({exc})") from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _follow(self, address: str) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            # Checked at every hop: an allowed host could otherwise redirect into the user's own network.
            async with self._http.stream(
                "GET", self._check(address), extensions={MOST_BYTES: MOST_IMAGE_BYTES}
            ) as answer:
                if not answer.has_redirect_location:
                    return await _read_body(answer)
                address = str(answer.url.join(answer.headers["location"]))
        raise _build_host_error(f"the image's address leads on and on ({address})")

    def _check(self, address: str) -> httpx.URL:
        url = httpx.URL(address)
        # Outside data decides this address. Without the list, an answer could make this machine call any service near
        # it.
        if url.scheme not in {"http", "https"} or not any(fnmatch(url.host, pattern) for pattern in self._hosts):
            raise _build_host_error(
                f"the image lies at {url.host or address[:60]!r}, which is not among delivery_hosts"
            )
        return url


def _build_host_error(message: str) -> JobError:
    return JobError(message, kind=FOREIGN_HOST, cost_micros=None)


def keep_answer(error: JobError, raw: bytes) -> JobError:
    """The error of a fetch with the answer that names the address, where another setting would allow the fetch.

    The image is paid for, and so is the next one at that host: the batch stops, and the answer is read again later.
    """
    if error.error_kind != FOREIGN_HOST or not raw:
        return error
    return UnreadableAnswer(str(error), raw=raw, kind=FOREIGN_HOST, cost_micros=error.cost_micros)


async def _read_body(answer: httpx.Response) -> bytes:
    if answer.status_code in GONE:
        raise OutputGone(f"the image is gone ({answer.status_code})", cost_micros=None)
    if not answer.is_success:
        raise Unfetched(f"the image's host answered {answer.status_code}")
    try:
        # Not with `aread`, which would keep the bytes in the answer too.
        body = b"".join([part async for part in answer.aiter_raw()])
    # Not to be repeated: the same image would be too large again, and it has been paid for.
    except TooLarge as exc:
        raise JobError(
            f"the image is larger than {MOST_IMAGE_BYTES:,} bytes", kind="too_large", cost_micros=None
        ) from exc
    expected = answer.headers.get("content-length", "")
    # A connection that closes early looks like a whole answer to clients that read to the end.
    if expected.isdecimal() and len(body) != int(expected):
        raise Unfetched(f"only {len(body)} of {expected} bytes came")
    await check_digest(answer.headers, body)
    return body


def _decode_data_url(address: str) -> bytes:
    try:
        return decode_data_url(address)
    except ValueError as exc:
        raise BadImage(f"the image's data address is damaged ({exc})") from exc
