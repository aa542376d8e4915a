"""The result of a request: its images, or why there is none and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json_object
from tasks.core.errors import JobError, Refused, Rejected, Transient
from tasks.core.values import parse_count

MODERATION = "content_policy_violation"
MOST_SIDE_PX = 100_000
CANCELLED = {"client_cancelled", "client_disconnected"}
_CLIENT_CLOSED = 499


def build_failure(answer: httpx.Response, words: str) -> JobError:
    """Why a request ended without an image.

    A failure of fal's is never billed; one of the input may be, if a runner had begun (fal.ai docs, "FAQ", read 2026-11).
    """
    body = parse_json_object(answer)
    kind = body.get("error_type") or answer.headers.get("x-fal-error-type")
    # fal sends the error's type in the body or in a header, and a list of the model's own in `detail`.
    if MODERATION in {str(kind), *_list_types(body)}:
        return Refused(words, cost_micros=None)
    if str(kind) in CANCELLED or answer.status_code == _CLIENT_CLOSED:
        return Transient(f"canceled ({words})", kind="canceled", cost_micros=None)
    if answer.is_server_error:
        # fal's own word on whether another attempt can help.
        if answer.headers.get("x-fal-retryable", "").lower() == "false":
            return JobError(words)
        return Transient(words, kind="timeout" if str(kind).endswith("timeout") else None)
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        # A runner may have begun before it refused the input, so the cost is not known.
        return Rejected(words, cost_micros=None)
    return JobError(words, cost_micros=None)


def find_images(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects of all images, each with its `url`; all of them are billed."""
    listed = body.get("images")
    # Models answer with `images` or, those that make one, with `image`.
    found = listed if isinstance(listed, list) and listed else [body.get("image")]
    return [image for item in found if (image := _parse_image(item)) is not None]


def is_flagged(body: Mapping[str, Any]) -> bool:
    """True if the first image was blackened by the model's safety checker."""
    return any(_is_true_first(body.get(name)) for name in ("has_nsfw_concepts", "nsfw_content_detected"))


def read_megapixels(image: Mapping[str, Any]) -> float | None:
    """The image's size as the answer says it, in millions of pixels; None where it says no size that can be."""
    width, height = (parse_count(image.get(name), most=MOST_SIDE_PX) for name in ("width", "height"))
    return width * height / 1e6 if width and height else None


def _parse_image(item: Any) -> Mapping[str, Any] | None:
    if isinstance(item, str):
        return {"url": item} if item else None
    return item if isinstance(item, dict) and isinstance(item.get("url"), str) and item["url"] else None


def _is_true_first(flags: Any) -> bool:
    return flags is True or (isinstance(flags, list) and bool(flags) and flags[0] is True)


def _list_types(body: Mapping[str, Any]) -> set[str]:
    detail = body.get("detail")
    return {str(item.get("type")) for item in detail if isinstance(item, dict)} if isinstance(detail, list) else set()
