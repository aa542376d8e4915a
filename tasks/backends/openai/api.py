"""The calls of the images API, and what each answer proves, decided here once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json_bytes, parse_json_object, read_pause
from tasks.backends.client.calls import SHORT_KEEPALIVE_S, HttpCalls, build_refusal
from tasks.backends.client.options import build_authorization
from tasks.backends.client.payloads import MOST_ANSWER_BYTES
from tasks.backends.client.refusals import find_codes, is_moderation
from tasks.backends.openai.answer import ImageAnswer, RawAnswer, build_unreadable, parse_image_answer
from tasks.backends.prices import MOST_RUN_USD
from tasks.core.errors import BatchStopped, JobError, Refused, Throttled
from tasks.core.money import to_micros
from tasks.core.retry import UNIT_S
from tasks.core.values import parse_identifier, parse_number

GENERATIONS = "/images/generations"
EDITS = "/images/edits"
GATEWAY_COST = "x-litellm-response-cost"
"""Header of LiteLLM's proxy (1.108.7, run 2026-11), which many put before their providers."""
# "Rate limit exceeded for images per minute in organization ... Limit: 5/1min." and "Rate limit reached for gpt-image-1
# ... on input-images per min: Limit 5, Used 5, Requested 1. Please try again in 12s." (captured answers, 2024-2026)
_STATED_RATE = re.compile(r"images per min(?:ute)?\b.*?Limit:? (\d+)", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"try again in (\d+(?:\.\d+)?)(ms|s)\b", re.IGNORECASE)


class ImagesApi:
    """The API for one key; usable inside one event loop."""

    def __init__(self, *, base: str, key: str, key_env: str | None, connections: int, timeout_s: float) -> None:
        """Talk to `base` (with its /v1) with at most so many connections; `key_env` is named in messages."""
        self.service = httpx.URL(base).host
        self._key_env = key_env
        self._timeout_s = timeout_s
        # The base of a gateway may have a path of its own before /v1.
        self.calls = HttpCalls(
            base=base,
            headers=build_authorization(key),
            secrets=[key],
            connections=connections,
            answer_timeout_s=timeout_s,
            keepalive_s=SHORT_KEEPALIVE_S,
        )

    async def make(self, path: str, content: Mapping[str, Any], *, client_request_id: str) -> RawAnswer:
        """Make one image. It costs money; call it once.

        Args:
            path: `GENERATIONS`, or `EDITS` of images.
            content: The request, as httpx takes it: `json`, or `data` and `files`.
            client_request_id: Our own name for it, by which the provider finds it in its logs.

        Raises:
            Throttled, NotCreated, Rejected, Refused: Nothing was made, or nothing that is given out.
            Ambiguous: It may have been made.
            BatchStopped: Key or credit: nobody's image can be made now.
        """
        # OpenAI's API reference, "Debugging requests", read 2026-11.
        headers = {"X-Client-Request-Id": client_request_id}
        answer = await self.calls.pay(
            "POST", path, headers=headers, timeout_s=self._timeout_s, most_bytes=MOST_ANSWER_BYTES, **content
        )
        if not answer.is_success:
            raise self.refusal(answer)
        return RawAnswer(
            # OpenAI's own id of the request is what its support asks for; ours stands in where a server sends none.
            request_id=parse_identifier(answer.headers.get("x-request-id")) or client_request_id,
            body=answer.content,
            media_type=answer.headers.get("content-type", ""),
            reported_micros=_read_cost(answer),
        )

    def parse(self, raw: RawAnswer) -> ImageAnswer:
        """Parse an answer of 2xx.

        Raises:
            Refused: It holds an error of moderation, or no image at all, which is how some services refuse.
            UnreadableAnswer: It holds something else. It may have been billed.
        """
        try:
            document = parse_json_bytes(raw.body)
        except ValueError as exc:
            raise build_unreadable(str(exc), raw.body, raw.media_type) from exc
        # Gateways report a provider's refusal with status 200 and an `error` in the body.
        if isinstance(document, dict) and document.get("error") and not document.get("data"):
            raise self._explain_error(document, raw)
        return parse_image_answer(document, raw.body, raw.media_type)

    def _explain_error(self, document: dict[str, Any], raw: RawAnswer) -> JobError:
        """An error that came as a success: nobody says whether it was billed."""
        error = read_error(document)
        words = self.calls.error_text(error.get("message") or error)
        if is_moderation(words, find_codes(document)):
            return Refused(words, cost_micros=None)
        return build_unreadable(f"it holds an error ({words})", raw.body, raw.media_type)

    def refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        """Build the error that an answer other than 2xx proves."""
        error = read_error(parse_json_object(answer))
        # Only the message: the whole error object repeats the prompt, and for edits the image.
        detail = self.calls.error_text(error.get("message") or answer.reason_phrase or f"status {answer.status_code}")
        refusal = build_refusal(answer, detail, service=self.service, key_env=self._key_env)
        if isinstance(refusal, Refused):
            return build_moderation_error(error, detail)
        return build_throttled(answer, detail) if isinstance(refusal, Throttled) else refusal

    async def close(self) -> None:
        """Close the connections."""
        await self.calls.close()


def _read_cost(answer: httpx.Response) -> int | None:
    """Millionths of a dollar that a gateway says the call cost; None where it says nothing, or no cost."""
    try:
        stated = float(answer.headers[GATEWAY_COST])
    except (KeyError, ValueError):
        return None
    return to_micros(parse_number(stated, most=MOST_RUN_USD))


def read_error(body: Mapping[str, Any]) -> dict[str, Any]:
    """The error object of an answer; some servers send a text in its place."""
    error = body.get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {"message": body.get("message") or body.get("detail")}


def build_moderation_error(error: Mapping[str, Any], detail: str) -> Refused:
    """A refusal by moderation; one of the image comes after the image was made, and nobody says that it is free."""
    details = error.get("moderation_details")
    stage = error.get("moderation_stage") or (details.get("moderation_stage") if isinstance(details, dict) else None)
    # Moderation of the prompt comes before anything is made, and is not billed.
    return Refused(detail, cost_micros=None if stage == "output" else 0)


def build_throttled(answer: httpx.Response, detail: str) -> Throttled:
    """Build the error of a 429: the pause comes from its headers first, then from its words."""
    # LiteLLM and some proxies pass OpenAI's headers on and drop Retry-After.
    after_s = read_pause(answer)
    if after_s is None and (words := _TRY_AGAIN.search(detail)):
        after_s = float(words[1]) * UNIT_S[words[2].lower()]
    stated = _STATED_RATE.search(detail)
    limit = stated[1] if stated else answer.headers.get("x-ratelimit-limit-requests", "")
    # A limit of 0 would stop the batch for ever, so it is taken for no statement.
    per_min = float(limit) if re.fullmatch(r"\d+", limit) and int(limit) > 0 else None
    return Throttled(detail, retry_after_s=after_s, creates_per_min=per_min)
