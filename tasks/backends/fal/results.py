"""What the result of a request says: its picture, or why there is none and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tasks.backends.client.calls import parse_json_object
from tasks.core.errors import JobError, Refused, Rejected, Transient

MODERATION = "content_policy_violation"
CANCELLED = {"client_cancelled", "client_disconnected"}
_CLIENT_CLOSED = 499


def build_failure(answer: httpx.Response, words: str) -> JobError:
    """Why a request ended without a picture.

    A failure of fal's is never billed; one of the input may be, if a runner had begun (fal.ai docs, "FAQ", read 2026-11).
    """
    body = parse_json_object(answer)
    kind = body.get("error_type") or answer.headers.get("x-fal-error-type")
    if MODERATION in {kind, *_list_types(body)}:
        return Refused(words, cost_micros=None)
    if kind in CANCELLED or answer.status_code == _CLIENT_CLOSED:
        return Transient(f"canceled ({words})", kind="canceled", cost_micros=None)
    if answer.is_server_error:
        return Transient(words, kind="timeout" if str(kind).endswith("timeout") else None)
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        return Rejected(words, cost_micros=None)
    return JobError(words, cost_micros=None)


def find_image(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first picture's object, with its `url`; None where there is none."""
    images = body.get("images")
    first = images[0] if isinstance(images, list) and images else body.get("image")
    if isinstance(first, str):
        return {"url": first}
    return first if isinstance(first, dict) and isinstance(first.get("url"), str) else None


def is_flagged(body: Mapping[str, Any]) -> bool:
    """Whether the picture was blackened by the model's safety checker."""
    flags = body.get("has_nsfw_concepts")
    return isinstance(flags, list) and bool(flags) and flags[0] is True


def read_megapixels(picture: Mapping[str, Any]) -> float | None:
    """The picture's size as the answer says it, in millions of pixels."""
    width, height = picture.get("width"), picture.get("height")
    return width * height / 1e6 if isinstance(width, int) and isinstance(height, int) else None


def _list_types(body: Mapping[str, Any]) -> set[str]:
    detail = body.get("detail")
    return {str(item.get("type")) for item in detail if isinstance(item, dict)} if isinstance(detail, list) else set()
