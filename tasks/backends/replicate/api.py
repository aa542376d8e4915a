"""Replicate's HTTP API: one method for each call, and what each answer proves, decided here once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from tasks.backends.client.calls import (
    HttpCalls,
    build_refusal,
    get_origin,
    parse_json_object,
    read_retry_after,
    require_free_answer,
)
from tasks.backends.replicate.options import ModelReference
from tasks.core.errors import Ambiguous, BatchStopped, JobError, NotCreated, OutputGone, Throttled
from tasks.core.retry import parse_retry_after
from tasks.store.references import get_media_type

SERVICE = "Replicate"
ANSWER_TIMEOUT_S = 30.0

# "Your rate limit for creating predictions is reduced to 6 requests per minute with a burst of 1 requests while you
# have less than $5.0 in credit. Your rate limit resets in ~7s." (captured answer, 2025-2026)
_STATED_RATE = re.compile(r"reduced to (\d+) requests per minute")
_RESETS_IN = re.compile(r"resets in ~?(\d+(?:\.\d+)?)s")


class ReplicateApi:
    """The API for one token; usable inside one event loop."""

    def __init__(self, *, base: str, token: str, token_env: str, connections: int) -> None:
        """Talk to `base` (without /v1) with at most so many connections; `token_env` is named in messages."""
        self._token_env = token_env
        self._calls = HttpCalls(
            base=f"{base}/v1",
            headers={"Authorization": f"Bearer {token}"},
            secrets=[token],
            connections=connections,
            answer_timeout_s=ANSWER_TIMEOUT_S,
        )
        self._http = self._calls.http

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
        cancel_after = f"{max(5, round(cancel_after_s))}s"
        answer = await self._calls.pay("POST", path, json=body, headers={"Cancel-After": cancel_after})
        if not answer.is_success:
            raise self._refusal(answer)
        return _parse_prediction(answer)

    async def upload(self, data: bytes, *, name: str) -> str:
        """Keep a picture at the service for a day, for predictions to start from. Free.

        Returns:
            The address that an input takes.

        Raises:
            Throttled, NotCreated: It is not there; nothing was created, and sending the job again is safe.
            BatchStopped: The token is no longer accepted.
        """
        part = {"content": (name, data, get_media_type(data))}
        try:
            answer = await self._http.post("/files", files=part)
        except httpx.HTTPError as exc:
            raise NotCreated(f"a picture could not be uploaded ({self._calls.describe_error(exc)})") from exc
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.TOO_MANY_REQUESTS}:
            raise self._refusal(answer)
        address = (parse_json_object(answer).get("urls") or {}).get("get")
        if not answer.is_success or not isinstance(address, str):
            raise NotCreated(
                f"a picture could not be uploaded ({answer.status_code}: {self._calls.error_text(_get_detail(answer))})"
            )
        return address

    async def get(self, prediction_id: str) -> dict[str, Any]:
        """One prediction.

        Raises:
            OutputGone: There is no such prediction any more.
            BatchStopped: The token is no longer accepted.
            httpx.HTTPError: No answer, an answer of 429 or 5xx, or one that cannot be read; asking again is free.
        """
        answer = await self._http.get(f"/predictions/{prediction_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise OutputGone("the provider knows no such prediction any more", cost_micros=None)
        return self._free(answer, "status")

    async def list_created(
        self, since: datetime, *, before: datetime | None = None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Pages of predictions created at or after an instant, perhaps before another one, the newest first.

        Raises:
            httpx.HTTPError: As `get`.
        """
        window = {"created_after": since} | ({} if before is None else {"created_before": before})
        instants = {name: moment.astimezone(UTC).isoformat() for name, moment in window.items()}
        url: str | None = str(httpx.URL("/predictions", params=instants))
        while url:
            page = self._free(await self._http.get(url), "results")
            yield page["results"]
            url = page.get("next")
            if url and get_origin(httpx.URL(url)) != get_origin(self._http.base_url):
                # The token goes nowhere else, also not to the same host without encryption.
                raise httpx.DecodingError(f"the list goes on somewhere else ({url})")

    async def cancel(self, prediction_id: str) -> dict[str, Any]:
        """Stop a prediction; the answer says how it ended.

        Raises:
            httpx.HTTPError: As `get`.
        """
        return self._free(await self._http.post(f"/predictions/{prediction_id}/cancel"), "status")

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()

    def _free(self, answer: httpx.Response, needed: str) -> dict[str, Any]:
        """The body of an answer to a call that may be repeated at will; it says `needed`, or says nothing."""
        detail = self._calls.error_text(_get_detail(answer))
        require_free_answer(answer, service=SERVICE, key_env=self._token_env, detail=detail)
        body = parse_json_object(answer)
        if not isinstance(body.get(needed), str | list):
            raise httpx.DecodingError("the answer cannot be read", request=answer.request)
        return body

    def _refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        """What an answer other than 2xx proves."""
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return parse_throttled(answer)
        return build_refusal(
            answer, self._calls.error_text(_get_detail(answer)), service=SERVICE, key_env=self._token_env
        )


def parse_throttled(answer: httpx.Response) -> Throttled:
    """What a 429 says about when to come again: its header first, then its body, then its words."""
    body, detail = parse_json_object(answer), _get_detail(answer)
    stated = _STATED_RATE.search(detail)
    words = _RESETS_IN.search(detail)
    after_s = read_retry_after(answer)
    if after_s is None and isinstance(body.get("retry_after"), int | float):
        after_s = parse_retry_after(body["retry_after"])
    if after_s is None and words:
        after_s = parse_retry_after(words[1])
    return Throttled(detail, retry_after_s=after_s, creates_per_min=float(stated[1]) if stated else None)


def _build_create(model: ModelReference, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if model.version is None:
        return f"/models/{model.name}/predictions", {"input": values}
    return "/predictions", {"version": str(model), "input": values}


def _parse_prediction(answer: httpx.Response) -> dict[str, Any]:
    body = parse_json_object(answer)
    if not isinstance(body.get("id"), str):
        raise Ambiguous("the answer to a create could not be read", cost_micros=None)
    return body


def _get_detail(answer: httpx.Response) -> str:
    """The service's own words, on one line."""
    words = parse_json_object(answer).get("detail") or answer.reason_phrase or f"status {answer.status_code}"
    return " ".join(str(words).split())
