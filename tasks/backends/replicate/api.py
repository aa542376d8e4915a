"""Calls of Replicate's HTTP API: each answer is checked here, and what it proves is decided once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from tasks.backends.client.answers import parse_json_object, read_retry_after
from tasks.backends.client.calls import HttpCalls, build_refusal, get_origin, require_free_answer
from tasks.backends.client.service_clock import ServiceClock
from tasks.backends.replicate.options import ModelReference
from tasks.core.errors import Ambiguous, BatchStopped, JobError, NotCreated, OutputGone, Throttled
from tasks.core.retry import parse_retry_after
from tasks.store.references import get_media_type

Page = dict[str, Any]
AskPage = Callable[[Callable[[], Awaitable[Page]]], Awaitable[Page]]
"""Makes the call that it is given, and returns its answer."""

SERVICE = "Replicate"
ANSWER_TIMEOUT_S = 30.0
# 1,000 pages of 100 are 100,000 predictions: at 600 creates a minute that takes almost three hours.
MOST_PAGES = 1_000
"""Of one reading of the list: more predictions than an account can make in its retention of an hour."""

# "Your rate limit for creating predictions is reduced to 6 requests per minute with a burst of 1 requests while you
# have less than $5.0 in credit. Your rate limit resets in ~7s." (captured answer, 2025-2026)
_STATED_RATE = re.compile(r"reduced to (\d+) requests per minute")
_RESETS_IN = re.compile(r"resets in ~?(\d+(?:\.\d+)?)s")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~-]{0,199}")
"""Replicate's have 26 lower-case letters and digits; any that a ledger and an address can hold is taken."""


class ReplicateApi:
    """The API for one token; usable inside one event loop."""

    def __init__(
        self, *, base: str, token: str, token_env: str, connections: int, service_clock: ServiceClock | None = None
    ) -> None:
        """Open no connection yet.

        Args:
            base: Address of the service, without /v1.
            token: Sent with every call.
            token_env: Name of its variable, for messages.
            connections: Most connections at once.
            service_clock: Hears the time of every answer.
        """
        self._token_env = token_env
        self._calls = HttpCalls(
            base=f"{base}/v1",
            headers={"Authorization": f"Bearer {token}"},
            secrets=[token],
            connections=connections,
            answer_timeout_s=ANSWER_TIMEOUT_S,
        )
        self._http = self._calls.http
        if service_clock is not None:
            self._http.event_hooks["response"].append(service_clock.hear)

    async def create(
        self, model: ModelReference, values: Mapping[str, Any], *, cancel_after_s: float
    ) -> dict[str, Any]:
        """Create one prediction. It costs money; call it once.

        Raises:
            Throttled, NotCreated, Rejected: Nothing was created.
            Ambiguous: It may have been created.
            BatchStopped: Token or credit: nobody's prediction can be created now.
        """
        path, body = _build_create(model, values)
        # Replicate refuses less than 5 s. It counts from the creation, the time in the queue included (docs, read
        # 2026-11).
        cancel_after = f"{max(5, round(cancel_after_s))}s"
        answer = await self._calls.pay("POST", path, json=body, headers={"Cancel-After": cancel_after})
        if not answer.is_success:
            raise self._refusal(answer)
        return _parse_prediction(answer)

    async def upload(self, data: bytes, *, name: str) -> str:
        """Store an image at the service for a day, for predictions to start from. Free.

        Returns:
            The address that an input takes.

        Raises:
            Throttled, NotCreated: It is not there; nothing was created, and sending the job again is safe.
            BatchStopped: The token is no longer accepted.
        """
        part = {"content": (name, data, get_media_type(data))}
        try:
            answer = await self._http.post("/files", files=part)
        # An upload costs nothing and belongs to nothing, so a lost answer is no harm: the job is sent again.
        except httpx.HTTPError as exc:
            raise NotCreated(f"an image could not be uploaded ({self._calls.describe_error(exc)})") from exc
        # These say something about the account or its rate; the others only about this file.
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.TOO_MANY_REQUESTS}:
            raise self._refusal(answer)
        address = (parse_json_object(answer).get("urls") or {}).get("get")
        if not answer.is_success or not isinstance(address, str):
            raise NotCreated(
                f"an image could not be uploaded ({answer.status_code}: {self._calls.error_text(_get_detail(answer))})"
            )
        return address

    async def get(self, prediction_id: str) -> dict[str, Any]:
        """One prediction.

        Raises:
            OutputGone: There is no such prediction any more.
            BatchStopped: The token is no longer accepted.
            httpx.HTTPError: No answer, an answer of 429 or 5xx, or one that cannot be read; asking again is free.
        """
        # Quoted, because an id is outside data and must not lead to another path.
        answer = await self._http.get(f"/predictions/{quote(prediction_id, safe='')}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise OutputGone("the provider knows no such prediction any more", cost_micros=None)
        return self._read(answer, "status", str)

    async def list_created(
        self, since: datetime, *, before: datetime | None = None, ask: AskPage | None = None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Pages of predictions created at or after an instant, perhaps before another one, the newest first.

        An entry that is no object is an empty one here: left out, it would prove that its prediction does not exist.

        Args:
            since: The first instant.
            before: The instant after the last one; None: up to now.
            ask: Makes the call for each page, perhaps more than once; None: once and at once.

        Raises:
            httpx.HTTPError: As `get`; also where the list never ends.
        """
        window = {"created_after": since} | ({} if before is None else {"created_before": before})
        instants = {name: moment.astimezone(UTC).isoformat() for name, moment in window.items()}
        # The window's bounds are part of the first address only; each `next` carries them on.
        url: str | None = f"/predictions?{urlencode(instants)}"
        read: set[str] = set()
        while url:
            read.add(url)
            get = partial(self._get_page, url)
            page = await (get() if ask is None else ask(get))
            yield [entry if isinstance(entry, dict) else {} for entry in page["results"]]
            url = self._get_next(page)
            # A page that names one that was read already would be followed for ever.
            if url in read or len(read) >= MOST_PAGES:
                raise httpx.DecodingError("the list has no end")

    async def _get_page(self, url: str) -> Page:
        return self._read(await self._http.get(url), "results", list)

    def _get_next(self, page: Mapping[str, Any]) -> str | None:
        """The address of the page that follows; the token goes nowhere else, also not to the host without encryption."""
        url = page.get("next", "")
        # Nothing but null ends the list: where `next` is gone, or is something else, more may follow.
        if url is None:
            return None
        try:
            # The token goes with every request, so a `next` at another host must not be followed.
            is_ours = get_origin(httpx.URL(url)) == get_origin(self._http.base_url)
        except (TypeError, ValueError, httpx.InvalidURL):
            is_ours = False
        if not is_ours:
            raise httpx.DecodingError(f"the list goes on somewhere else ({self._calls.error_text(url)})")
        return str(url)

    async def ask_time(self) -> None:
        """Make the cheapest call that there is: its answer tells the service's time.

        Raises:
            httpx.HTTPError: No answer.
        """
        await self._http.get("/account")

    async def cancel(self, prediction_id: str) -> dict[str, Any]:
        """Stop a prediction; the answer says how it ended.

        Raises:
            httpx.HTTPError: As `get`.
        """
        answer = await self._http.post(f"/predictions/{quote(prediction_id, safe='')}/cancel")
        return self._read(answer, "status", str)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()

    def _read(self, answer: httpx.Response, needed: str, kind: type) -> dict[str, Any]:
        """The body of an answer to a call that may be repeated at will; without `needed` it says nothing."""
        # Only a refusal has words: looking for some in a page of the list would parse all of it once more.
        if not answer.is_success:
            detail = self._calls.error_text(_get_detail(answer))
            require_free_answer(answer, service=SERVICE, key_env=self._token_env, detail=detail)
        body = parse_json_object(answer)
        if not isinstance(body.get(needed), kind):
            raise httpx.DecodingError("the answer cannot be read", request=answer.request)
        return body

    def _refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        """The error that an answer other than 2xx to a create is."""
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return parse_throttled(answer)
        return build_refusal(
            answer, self._calls.error_text(_get_detail(answer)), service=SERVICE, key_env=self._token_env
        )


def parse_throttled(answer: httpx.Response) -> Throttled:
    """The pause and rate that a 429 states: in its header, else its body, else its words."""
    detail = _get_detail(answer)
    stated = _STATED_RATE.search(detail)
    words = _RESETS_IN.search(detail)
    after_s = read_retry_after(answer)
    # The header has not been seen on a captured 429 of Replicate's, and older ones state the pause in words only.
    if after_s is None and words:
        after_s = parse_retry_after(words[1])
    return Throttled(detail, retry_after_s=after_s, creates_per_min=float(stated[1]) if stated else None)


def _build_create(model: ModelReference, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    # Official models have an address of their own and no version; a version goes to the shared one.
    if model.version is None:
        return f"/models/{model.name}/predictions", {"input": values}
    return "/predictions", {"version": str(model), "input": values}


def _parse_prediction(answer: httpx.Response) -> dict[str, Any]:
    body = parse_json_object(answer)
    if not is_id(body.get("id")):
        raise Ambiguous("the answer to a create could not be read", cost_micros=None)
    return body


def is_id(value: object) -> bool:
    """True for a prediction's id that can be kept and asked about."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _get_detail(answer: httpx.Response) -> str:
    """The service's own words, on one line."""
    words = parse_json_object(answer).get("detail") or answer.reason_phrase or f"status {answer.status_code}"
    return " ".join(str(words).split())
