"""The calls of the images API, and what each answer proves, decided here once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from tasks.backends.client.calls import (
    SHORT_KEEPALIVE_S,
    HttpCalls,
    build_refusal,
    parse_json_object,
    read_retry_after,
)
from tasks.backends.openai.answer import ImageAnswer, UnreadableAnswer, read_answer
from tasks.core.errors import Ambiguous, BatchStopped, JobError, Refused, Throttled

GENERATIONS = "/images/generations"
EDITS = "/images/edits"
MODERATION = frozenset({"moderation_blocked", "content_policy_violation", "content_filter"})
"""Codes of a refused prompt or picture (issues of public clients with captured answers, read 2026-11)."""
NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes of an empty account; they come with 429 or 400 (help.openai.com, "API error code guidance", read 2026-11)."""

# "Rate limit exceeded for images per minute in organization ... Limit: 5/1min." and "Rate limit reached for gpt-image-1
# ... on input-images per min: Limit 5, Used 5, Requested 1. Please try again in 12s." (captured answers, 2024-2026)
_STATED_RATE = re.compile(r"images per min(?:ute)?\b.*?Limit:? (\d+)", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"try again in (\d+(?:\.\d+)?)(ms|s)\b", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


class ImagesApi:
    """The API for one key; usable inside one event loop."""

    def __init__(self, *, base: str, key: str, key_env: str, connections: int, timeout_s: float) -> None:
        """Talk to `base` (with its /v1) with at most so many connections; `key_env` is named in messages."""
        self.service = httpx.URL(base).host
        self._key_env = key_env
        self._timeout_s = timeout_s
        self.calls = HttpCalls(
            base=base,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            secrets=[key],
            connections=connections,
            answer_timeout_s=timeout_s,
            keepalive_s=SHORT_KEEPALIVE_S,
        )

    async def make(self, path: str, content: Mapping[str, Any], *, client_request_id: str) -> ImageAnswer:
        """Make one picture. It costs money; call it once.

        Args:
            path: `GENERATIONS`, or `EDITS` of pictures.
            content: The request, as httpx takes it: `json`, or `data` and `files`.
            client_request_id: Our own name for it, by which the provider finds it in its logs.

        Raises:
            Throttled, NotCreated, Rejected, Refused: Nothing was made, or nothing that is given out.
            Ambiguous: It may have been made.
            BatchStopped: Key or credit: nobody's picture can be made now.
        """
        # OpenAI's API reference, "Debugging requests", read 2026-11.
        headers = {"X-Client-Request-Id": client_request_id}
        paid_call = self.calls.open_paid("POST", path, headers=headers, timeout_s=self._timeout_s, **content)
        async with paid_call as answer:
            if not answer.is_success:
                await answer.aread()
                raise self.refusal(answer)
            try:
                return await read_answer(answer.aiter_bytes(), answer.headers.get("x-request-id") or client_request_id)
            except UnreadableAnswer as exc:
                raise Ambiguous(f"the answer cannot be read: {exc}", cost_micros=None) from exc

    def refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        """What an answer other than 2xx proves."""
        error = read_error(parse_json_object(answer))
        detail = self.calls.error_text(error.get("message") or answer.reason_phrase or f"status {answer.status_code}")
        codes = {error.get("code"), error.get("type")}
        if codes & NO_CREDIT:
            return BatchStopped("credit", f"{self.service}: {detail} Then resume; nothing is paid twice")
        if codes & MODERATION:
            return build_moderation_error(error, detail)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return build_throttled(answer, detail)
        return build_refusal(answer, detail, service=self.service, key_env=self._key_env)

    async def close(self) -> None:
        """Close the connections."""
        await self.calls.close()


def read_error(body: Mapping[str, Any]) -> dict[str, Any]:
    """The error object of an answer; some servers send a text in its place."""
    error = body.get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {"message": body.get("message") or body.get("detail")}


def build_moderation_error(error: Mapping[str, Any], detail: str) -> Refused:
    """A refusal by moderation; one of the picture comes after the picture was made, and nobody says that it is free."""
    details = error.get("moderation_details")
    stage = error.get("moderation_stage") or (details.get("moderation_stage") if isinstance(details, dict) else None)
    return Refused(detail, cost_micros=None if stage == "output" else 0)


def build_throttled(answer: httpx.Response, detail: str) -> Throttled:
    """What a 429 says about when to come again: its headers first, then its words."""
    after_s = read_retry_after(answer)
    if after_s is None:
        after_s = parse_duration(answer.headers.get("x-ratelimit-reset-requests", ""))
    if after_s is None and (words := _TRY_AGAIN.search(detail)):
        after_s = float(words[1]) * _UNIT_S[words[2].lower()]
    stated = _STATED_RATE.search(detail)
    limit = stated[1] if stated else answer.headers.get("x-ratelimit-limit-requests", "")
    per_min = float(limit) if re.fullmatch(r"\d+", limit) and int(limit) > 0 else None
    return Throttled(detail, retry_after_s=after_s, creates_per_min=per_min)


def parse_duration(text: str) -> float | None:
    """Seconds of a duration as `x-ratelimit-reset-requests` gives it: `1s`, `6m0s`, `250ms`."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
