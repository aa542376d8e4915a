"""The client that the HTTP backends share, and what the end of a paid call proves.

A backend adds what only its service knows: its own codes and words. Whatever ends up in a message goes through `error_text`,
which puts it on one line and takes the secrets out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx

from tasks.backends.client import refusals
from tasks.backends.client.answers import parse_json_object, read_pause, read_retry_after
from tasks.backends.client.proxies import ProxyRefused
from tasks.backends.client.service_client import ServiceClient
from tasks.backends.client.transport import MOST_BYTES, MOST_JSON_BYTES, Transport
from tasks.core.errors import Ambiguous, BatchStopped, JobError, NotCreated, Refused, Rejected, Throttled
from tasks.core.safe_text import error_text

# A connection that is not open after this long is refused in fact; nothing was sent, so trying again is free.
CONNECT_TIMEOUT_S = 10.0
# Creates answer within a second or two; a service that makes the image during the call sets a longer time-out itself.
ANSWER_TIMEOUT_S = 30.0
# For services with a look-up: a create that is lost to a closing connection is found again, and handshakes are saved.
KEEPALIVE_S = 5.0
SHORT_KEEPALIVE_S = 2.0
"""For services without a look-up: a create that leaves on a connection which the server is just closing is lost, and many
servers close idle ones after 5 seconds."""
# A provider's error page can have megabytes, and a message goes into the ledger, the screen and a table.
LONGEST_WORDS = 500
HIDDEN = "***"

# 408, 409, 425 are not here: they say nothing about what was done.
WRONG = frozenset({400, 404, 405, 410, 411, 413, 414, 415, 417, 421, 422, 426, 428, 431, 451})
"""The service has read the request and found it wrong (RFC 9110, section 15.5): nothing was created."""

KEY_REFUSED = frozenset({401, 403})
"""Nobody's call is allowed; nothing was created."""

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
        sign: Callable[[httpx.Request], None] | None = None,
    ) -> None:
        """Talk to `base` with at most so many connections; `secrets` never show up in a message; `sign` signs requests."""
        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=keepalive_s
        )
        self._secrets: list[str] = []
        # Before the client is built, so that even an error of its construction shows no key.
        for secret in secrets:
            self.hide(secret)
        self.http: httpx.AsyncClient = ServiceClient(
            base_url=base,
            headers={"User-Agent": "imagen", **(headers or {})},
            timeout=httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=Transport(limits=limits),
            sign=sign,
        )

    def hide(self, secret: str) -> None:
        """Keep one more secret out of every message."""
        # A secret in an address is quoted there. The longest first, for one may be a part of another.
        forms = {form for form in (secret, quote(secret, safe="")) if secret}
        self._secrets = sorted({*self._secrets, *forms}, key=len, reverse=True)

    @asynccontextmanager
    async def open_paid(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float | None = None,
        most_bytes: int = MOST_JSON_BYTES,
        **content: Any,
    ) -> AsyncIterator[httpx.Response]:
        """One call that may cost money; its body is read inside the block, `most_bytes` of it at most.

        Raises:
            Rejected: It cannot be written as a request, so it never left.
            NotCreated: It never left.
            Ambiguous: It left, and its answer did not come, or not whole.
            BatchStopped: The proxy of the environment does not accept the login, so nothing can leave.
        """
        try:
            # Reading the body stops at the bound: a broken server that streams without an end must not fill the memory.
            request = self.http.build_request(method, url, extensions={MOST_BYTES: most_bytes}, **content)
        # A lone surrogate in a prompt, or a value that JSON cannot hold. Nothing has left yet, so this proves it.
        except (TypeError, ValueError, httpx.InvalidURL) as exc:
            raise Rejected(f"this cannot be sent ({self.describe_error(exc)})") from exc
        try:
            # The time-out covers the whole answer; httpx's own counts only the pauses between its parts.
            async with asyncio.timeout(timeout_s), aclosing(await self.http.send(request, stream=True)) as answer:
                yield answer
        except (httpx.HTTPError, TimeoutError) as exc:
            raise self._explain_unanswered(exc, timeout_s) from exc

    def _explain_unanswered(self, exc: Exception, timeout_s: float | None) -> BatchStopped | NotCreated | Ambiguous:
        from tasks.backends.client.connections import NEVER_SENT, explain_unreached  # noqa: PLC0415  see `Transport`

        # No other job's call gets further either.
        if isinstance(exc.__cause__, ProxyRefused):
            return BatchStopped("proxy", self.error_text(exc))
        if isinstance(exc.__cause__, NEVER_SENT):
            return NotCreated(explain_unreached(self.error_text(exc)))
        # httpx names the phase in which time ran out; ours has one limit, and naming it tells which setting to raise.
        is_late = isinstance(exc, TimeoutError) and timeout_s
        reason = f"none within {timeout_s:.0f} s" if is_late else self.describe_error(exc)
        # None, not 0: a budget has to set the full price aside until the look-up has told what became of it.
        return Ambiguous(f"the answer to a create was lost ({reason})", cost_micros=None)

    async def pay(self, method: str, url: str, **options: Any) -> httpx.Response:
        """One call that may cost money, its answer read whole; options as of `open_paid`.

        Raises:
            Rejected, NotCreated, Ambiguous: As `open_paid`.
        """
        async with self.open_paid(method, url, **options) as answer:
            await answer.aread()
            return answer

    def error_text(self, text: object) -> str:
        """The text on one line, bounded, without secrets and what a terminal would act on."""
        line = str(text)
        # Secrets go before the text is cut: a cut through the middle of one would leave half of it to be read.
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        return error_text(line, most_chars=LONGEST_WORDS)

    def describe_error(self, exc: BaseException) -> str:
        """The error's name and its words."""
        return f"{type(exc).__name__}: {self.error_text(exc)}" if str(exc) else type(exc).__name__

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()


def build_refusal(answer: httpx.Response, detail: str, *, service: str, key_env: str | None) -> JobError | BatchStopped:
    """Build the error of an answer other than 2xx to a paid call, from its status, words and codes.

    Args:
        answer: The answer.
        detail: The service's own words, fit for a message.
        service: Its name, for messages.
        key_env: The variable that holds the key or token; None where none is sent.
    """
    status, body = answer.status_code, parse_json_object(answer)
    # Credit and keys before moderation: their messages may hold words such as "policy" that moderation is known by.
    if (stop := _find_stop(answer, detail, service=service, key_env=key_env)) is not None:
        return stop
    is_moderation = refusals.is_moderation(detail, refusals.read_codes(answer, body))
    if status == httpx.codes.UNAVAILABLE_FOR_LEGAL_REASONS or (status in WRONG | KEY_REFUSED and is_moderation):
        return Refused(detail)
    if status in KEY_REFUSED:
        return _explain_no_access(answer, detail, service=service, key_env=key_env)
    # A 429 to a create proves that nothing was created (Replicate, OpenAI, fal; documented or captured, read 2026-11).
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Throttled(detail, retry_after_s=read_pause(answer))
    if status in WRONG | MOVED:
        moved = f"the service is somewhere else ({status}); correct its address in the configuration"
        # httpx follows no redirect here: a create must not be repeated at an address that nobody configured.
        return Rejected(moved if status in MOVED else detail)
    return Ambiguous(f"the answer to a create was {status} ({detail})", cost_micros=None)


def _find_stop(answer: httpx.Response, detail: str, *, service: str, key_env: str | None) -> BatchStopped | None:
    """Why nobody's call can succeed now, where the words or codes say so; None where they do not."""
    status, codes = answer.status_code, refusals.read_codes(answer, parse_json_object(answer))
    # A quota that comes back within a stated time is a limit, not an empty account (Google, read 2026-11).
    is_limit = status == httpx.codes.TOO_MANY_REQUESTS and read_retry_after(answer) is not None
    # Words count only in a 4xx: a 5xx page may quote anything, and does not prove that nothing was created.
    if status == httpx.codes.PAYMENT_REQUIRED or (
        answer.is_client_error and not is_limit and refusals.is_out_of_credit(detail, codes)
    ):
        return build_credit_stop(service, detail)
    if answer.is_client_error and refusals.is_blocked(detail):
        return BatchStopped("blocked", f"{service} has blocked the account ({status}: {detail})")
    # Sending the user for another key would help nobody.
    if status in KEY_REFUSED and refusals.lacks_access(detail, codes):
        return BatchStopped(
            "access",
            f"{service} accepts the key, and its account may not use this ({detail}). Ask the service for access, then resume",
        )
    # Google and xAI answer a wrong key with 400 in place of 401 (recorded answers of 2026).
    if status in WRONG and refusals.is_bad_key(detail, codes):
        return _explain_no_access(answer, detail, service=service, key_env=key_env)
    return None


def build_credit_stop(service: str, detail: str) -> BatchStopped:
    """The end of a batch whose account is empty."""
    return BatchStopped("credit", f"{service}: {detail} Add credit, then resume; nothing is paid twice")


def _explain_no_access(answer: httpx.Response, detail: str, *, service: str, key_env: str | None) -> BatchStopped:
    """Why nobody's call is allowed: the key, no key, or somebody on the way to the service."""
    status = answer.status_code
    # A captive portal or a firewall answers 403 with a page: to blame the key would send the user to the wrong place.
    if refusals.is_web_page(answer):
        return BatchStopped(
            "blocked",
            f"{service} was not reached: a web page came in place of its answer ({status}), as a firewall, a proxy or a "
            "gateway sends. Check the network and the address, then resume",
        )
    return build_key_stop(service, f"{status}: {detail}" if key_env is None else detail, key_env=key_env)


def build_key_stop(service: str, detail: str, *, key_env: str | None) -> BatchStopped:
    """The end of a batch whose key is refused, in the service's words."""
    # Local servers usually need no key, so there is no variable to name.
    if key_env is None:
        return BatchStopped("token", f"{service} refuses a call without a key ({detail}); set its key variable")
    return BatchStopped("token", f"{service} does not accept the token in {key_env} ({detail})")


def require_free_answer(answer: httpx.Response, *, service: str, key_env: str | None, detail: str) -> None:
    """Pass where a call that may be repeated at will was answered.

    Raises:
        BatchStopped: The token is no longer accepted.
        httpx.HTTPStatusError: Any other answer than 2xx; asking again is free.
    """
    # Only 401 and 403 concern the key. Anything else on a free call may pass, so it is left to the caller to ask again.
    if answer.status_code in KEY_REFUSED:
        raise _explain_no_access(answer, detail, service=service, key_env=key_env)
    answer.raise_for_status()


def get_origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port: where a token may go."""
    return url.scheme, url.host, url.port
