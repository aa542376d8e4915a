"""The answer of the images API: its image, or the address of it, and the tokens that it counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.backends.client.payloads import decode_base64, find_image_place
from tasks.backends.prices import MOST_IMAGES
from tasks.core.errors import UnreadableAnswer

_UNFINISHED = frozenset(
    {"accepted", "created", "in_progress", "pending", "processing", "queued", "running", "submitted"}
)
"""States of an image that some gateways make later; they are asked for it in ways of their own."""


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
    """Its address, where the answer gives one."""
    images: int = 1
    """The number of images that the answer holds."""
    further: tuple[ImageAnswer, ...] = ()
    """Those beside the first one, as far as they can be read."""
    raw: bytes = field(default=b"", compare=False, repr=False)
    """The answer, where the image is at an address: of use if that may not be asked."""
    usage: Mapping[str, Any] | None = None
    """Tokens, as the service counts them."""


def parse_image_answer(document: object, raw: bytes, media_type: str = "") -> ImageAnswer:
    """The answer of an object as the API sends it.

    Args:
        document: The answer's JSON.
        raw: The answer as it came, which the error carries.
        media_type: Its type by its header.

    Raises:
        UnreadableAnswer: It is no such object, or its image cannot be decoded. It may have been billed.
    """
    # Servers that only speak the API leave out `data`, or send null, where nothing was made.
    if not isinstance(document, dict) or not isinstance(document.get("data", []), list | None):
        raise build_unreadable("it is not an answer of the images API", raw, media_type)
    # Whatever else stands in the list is no image, and must not hide one that follows it.
    items = [item for item in map(_name_parts, _list_entries(document)) if _holds_image(item)]
    # It was made and paid for, so it must not pass for a refusal.
    if not items and (lack := _explain_lack(document)):
        raise build_unreadable(lack, raw, media_type)
    usage = document.get("usage")
    try:
        first = _parse_item(items[0] if items else {})
    except ValueError as exc:
        raise build_unreadable(f"its image cannot be decoded: {exc}", raw, media_type) from exc
    return replace(
        first,
        raw=b"" if first.address is None else raw,
        images=max(1, len(items)),
        further=tuple(_parse_further(items[1:MOST_IMAGES])),
        usage=usage if isinstance(usage, dict) else None,
    )


def _list_entries(document: Mapping[str, Any]) -> list[Any]:
    # Servers of Stable Diffusion list them under `images`, also as texts.
    entries = document.get("data") or document.get("images")
    return entries if isinstance(entries, list) else []


def _name_parts(entry: Any) -> dict[str, Any]:
    """An entry as the API writes it; a text alone is an address or base64."""
    if isinstance(entry, str):
        if entry.lower().startswith(("http://", "https://")):
            return {"url": entry}
        # Any other word in the list is no image.
        return {"b64_json": entry} if find_image_place(entry) else {}
    return entry if isinstance(entry, dict) else {}


def _explain_lack(document: Mapping[str, Any]) -> str | None:
    """Why `data` holds no image though one was made; None where the service made none."""
    if (place := find_image_place(document)) is not None:
        return f"it holds no image at /data/0, but at {place}"
    status = document.get("status")
    if isinstance(status, str) and status.lower() in _UNFINISHED:
        return f"it holds no image, only the status {status.lower()!r}"
    return None


def _holds_image(item: Mapping[str, Any]) -> bool:
    # An entry that holds none was not billed as one, however many of them an answer has.
    return any(isinstance(item.get(name), str) and item[name] for name in ("b64_json", "url"))


def _parse_further(items: list[dict[str, Any]]) -> Iterator[ImageAnswer]:
    for item in items:
        with suppress(ValueError):  # a damaged one is no reason to lose the first
            found = _parse_item(item)
            if found.image or found.address:
                yield found


def _parse_item(item: Mapping[str, Any]) -> ImageAnswer:
    """The image of one entry, or its address; raises `ValueError` for base64 that cannot be decoded."""
    encoded, address = item.get("b64_json"), item.get("url")
    return ImageAnswer(
        image=(decode_base64(encoded) if isinstance(encoded, str) and encoded else None) or None,
        address=address if isinstance(address, str) and address else None,
    )


def build_unreadable(reason: str, raw: bytes, media_type: str) -> UnreadableAnswer:
    """The error of an answer that holds no image; what it cost is not known here."""
    return UnreadableAnswer(f"the answer cannot be read: {reason}", raw=raw, media_type=media_type, cost_micros=None)
