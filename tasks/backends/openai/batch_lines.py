"""The answer to one line of a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tasks.backends.client.refusals import find_codes, is_moderation, is_out_of_credit
from tasks.backends.openai.answer import ImageAnswer, parse_image_answer
from tasks.backends.openai.api import build_moderation_error, read_error
from tasks.core.errors import JobError, Rejected, Transient
from tasks.core.values import parse_count

EXPIRED = "batch_expired"
CANCELLED = "batch_cancelled"


def parse_line(line: Mapping[str, Any]) -> ImageAnswer:
    """The answer of a line.

    Raises:
        JobError: It ended without an image; its type says whether another attempt may help, and its cost is 0 where the
            batch says that the request was not done.
    """
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, dict):
        raise _build_undone_error(error if isinstance(error, dict) else {})
    body = response.get("body")
    # The line's own status is that of the request inside the batch, not that of the batch.
    if response.get("status_code") != httpx.codes.OK:
        raise _build_failure(response, body if isinstance(body, dict) else {})
    return parse_image_answer(body, json.dumps(body).encode(), "application/json")


def _build_undone_error(error: Mapping[str, Any]) -> JobError:
    """A request that the batch has not done; only done ones are billed (OpenAI's batch guide, read 2026-11)."""
    words = str(error.get("message") or "the batch has not done it")
    if error.get("code") == EXPIRED:
        return Transient(words, kind="expired")
    return JobError(words, kind="canceled" if error.get("code") == CANCELLED else None)


def _build_failure(response: Mapping[str, Any], body: Mapping[str, Any]) -> JobError:
    status, error, codes = parse_count(response.get("status_code"), most=999) or 0, read_error(body), find_codes(body)
    words = " ".join(str(error.get("message") or f"status {status}").split())
    if is_moderation(words, codes):
        return build_moderation_error(error, words)
    # An empty account is not this job's fault: its next attempt stops the batch, unless somebody has paid meanwhile.
    is_passing = status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR
    return Transient(words) if is_passing or is_out_of_credit(words, codes) else Rejected(words)
