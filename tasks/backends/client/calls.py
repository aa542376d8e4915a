"""What the HTTP backends share: one client, and what the end of a call that costs money proves.

A backend adds what only its service knows: its own codes and words. Whatever ends up in a message goes through `error_text`,
which puts it on one line and takes the secrets out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from tasks.backends.client.transport import NEVER_SENT, Transport
from tasks.core.errors import Ambiguous, BatchStopped, JobError, NotCreated, Rejected, Throttled
from tasks.core.retry import parse_retry_after

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
KEEPALIVE_S = 5.0
SHORT_KEEPALIVE_S = 2.0
"""For services without a look-up: a create that leaves on a connection which the server is just closing is lost, and many
servers close idle ones after 5 seconds."""
LONGEST_WORDS = 500
HIDDEN = "***"

WRONG = frozenset({400, 404, 405, 413, 415, 422})
"""The service has read the request and found it wrong (RFC 9110, section 15.5): nothing was created."""

MOVED = frozenset({301, 307, 308})
"""The request is to be made at another address (RFC 9110, section 15.4): here it was not done."""


class HttpCalls:
    """Calls to one service; usable inside one event loop."""

    def __init__(
        self,
        *,
        base: str = "",
        headers: Mapping[str, str] | None = None,
        secrets: Collection[str] = (),
        connections: int,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        """Talk to `base` with at most so many connections; `secrets` never show up in a message."""
        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=keepalive_s
        )
        # A secret in an address is quoted there. The longest first, for one may be a part of another.
        forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""))}
        self._secrets = sorted(forms, key=len, reverse=True)
        self.http = httpx.AsyncClient(
            base_url=base,
            headers={"User-Agent": "imagen", **(headers or {})},
            timeout=httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=Transport(limits=limits),
        )

    @asynccontextmanager
    async def open_paid(
        self, method: str, url: str, *, timeout_s: float | None = None, **content: Any
    ) -> AsyncIterator[httpx.Response]:
        """One call that may cost money; its body is read inside the block.

        Raises:
            Rejected: It cannot be written as a request, so it never left.
            NotCreated: It never left.
            Ambiguous: It left, and its answer did not come, or not whole.
        """
        try:
            request = self.http.build_request(method, url, **content)
        except (TypeError, ValueError, httpx.InvalidURL) as exc:
            raise Rejected(f"this cannot be sent ({self.describe_error(exc)})") from exc
        try:
            async with asyncio.timeout(timeout_s), aclosing(await self.http.send(request, stream=True)) as answer:
                yield answer
        except (httpx.HTTPError, TimeoutError) as exc:
            if isinstance(exc.__cause__, NEVER_SENT):
                raise NotCreated(f"the service cannot be reached ({self.error_text(exc)})") from exc
            reason = (
                f"none within {timeout_s:.0f} s"
                if isinstance(exc, TimeoutError) and timeout_s
                else self.describe_error(exc)
            )
            raise Ambiguous(f"the answer to a create was lost ({reason})", cost_micros=None) from exc

    async def pay(self, method: str, url: str, *, timeout_s: float | None = None, **content: Any) -> httpx.Response:
        """One call that may cost money, its answer read whole.

        Raises:
            Rejected, NotCreated, Ambiguous: As `open_paid`.
        """
        async with self.open_paid(method, url, timeout_s=timeout_s, **content) as answer:
            await answer.aread()
            return answer

    def error_text(self, text: object) -> str:
        """The text on one line, bounded, without secrets."""
        line = " ".join(str(text).split())
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        return line[:LONGEST_WORDS]

    def describe_error(self, exc: BaseException) -> str:
        """The error's name and its words."""
        return f"{type(exc).__name__}: {self.error_text(exc)}" if str(exc) else type(exc).__name__

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()


def build_refusal(answer: httpx.Response, detail: str, *, service: str, key_env: str) -> JobError | BatchStopped:
    """What an answer other than 2xx to a call that costs money proves, as HTTP has it.

    Args:
        answer: The answer.
        detail: The service's own words, fit for a message.
        service: Its name, for messages.
        key_env: The variable that holds the key or token.
    """
    match answer.status_code:
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            return BatchStopped("token", f"{service} does not accept the token in {key_env} ({detail})")
        case httpx.codes.PAYMENT_REQUIRED:
            return BatchStopped("credit", f"{service}: {detail} Then resume; nothing is paid twice")
        case httpx.codes.TOO_MANY_REQUESTS:
            return Throttled(detail, retry_after_s=read_retry_after(answer))
        case status if status in WRONG:
            return Rejected(detail)
        case status if status in MOVED:
            return Rejected(f"the service is somewhere else ({status}); correct its address in the configuration")
        case status:
            return Ambiguous(f"the answer to a create was {status} ({detail})", cost_micros=None)


def read_retry_after(answer: httpx.Response) -> float | None:
    """Seconds of the answer's Retry-After header; None where it has none."""
    return parse_retry_after(answer.headers.get("retry-after"), now=_get_date(answer))


def _get_date(answer: httpx.Response) -> datetime | None:
    """The service's own time: a date in its header counts from that, whatever this machine's clock says."""
    try:
        date = parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else None


def parse_json_object(answer: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object; an empty one where it holds none."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def require_free_answer(answer: httpx.Response, *, service: str, key_env: str, detail: str) -> None:
    """Pass where a call that may be repeated at will was answered.

    Raises:
        BatchStopped: The token is no longer accepted.
        httpx.HTTPStatusError: Any other answer than 2xx; asking again is free.
    """
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise build_refusal(answer, detail, service=service, key_env=key_env)
    answer.raise_for_status()


def get_origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port: where a token may go."""
    return url.scheme, url.host, url.port
