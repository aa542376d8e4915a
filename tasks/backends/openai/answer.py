"""The answer of the images API: its image, or the address of it, and the tokens that it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.backends.client.payloads import decode_base64
from tasks.core.errors import UnreadableAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """The answer to one request, as it came."""

    request_id: str
    body: bytes
    media_type: str = ""
    reported_micros: int | None = None
    """Cost as a gateway states it in a header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAnswer:
    """The outcome of one request."""

    image: bytes | None
    """The image itself, where the answer holds it."""
    address: str | None
    """Where it lies, where the answer says so."""
    images: int = 1
    """How many the answer holds; the first one is kept."""
    usage: Mapping[str, Any] | None = None
    """Tokens, as the service counts them."""


def parse_image_answer(document: object, raw: bytes, media_type: str = "") -> ImageAnswer:
    """The answer of an object as the API sends it.

    Args:
        document: The answer's JSON.
        raw: The answer as it came, which the error carries.
        media_type: What its header calls it.

    Raises:
        UnreadableAnswer: It is no such object, or its image cannot be decoded. It may have been billed.
    """
    if not isinstance(document, dict) or not isinstance(document.get("data", []), list | None):
        raise build_unreadable("it is not an answer of the images API", raw, media_type)
    items = [item for item in document.get("data") or [] if isinstance(item, dict)]
    first = items[0] if items else {}
    encoded, address, usage = first.get("b64_json"), first.get("url"), document.get("usage")
    try:
        image = decode_base64(encoded) if isinstance(encoded, str) and encoded else None
    except ValueError as exc:
        raise build_unreadable(f"its image cannot be decoded: {exc}", raw, media_type) from exc
    return ImageAnswer(
        image=image or None,
        address=address if isinstance(address, str) and address else None,
        images=max(1, len(items)),
        usage=usage if isinstance(usage, dict) else None,
    )


def build_unreadable(reason: str, raw: bytes, media_type: str) -> UnreadableAnswer:
    """The error of an answer that holds no image; what it cost is not known here."""
    return UnreadableAnswer(f"the answer cannot be read: {reason}", raw=raw, media_type=media_type, cost_micros=None)
