"""The answer of the images API, read as it comes in.

Most of it is one picture in base64, megabytes long. It is decoded piece by piece while it arrives, so that only the
picture itself is ever in memory, and what is left is a small JSON object.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

MOST_PICTURE_BYTES = 64 * 1024 * 1024
MOST_OTHER_BYTES = 1024 * 1024
BASE64_GROUP = 4

_OPENING = re.compile(rb'"b64_json"\s*:\s*"')
_LONGEST_OPENING = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAnswer:
    """What one request came to."""

    request_id: str
    picture: bytes | None
    """The picture itself, where the answer holds it."""
    address: str | None
    """Where it lies, where the answer says so."""
    usage: dict[str, Any] | None
    """Tokens, as the service counts them."""


class UnreadableAnswer(ValueError):
    """Raised when an answer is not what the images API answers with."""


async def read_answer(parts: AsyncIterator[bytes], request_id: str) -> ImageAnswer:
    """The answer of these pieces.

    Raises:
        Unreadable: It is no such answer, not whole, or too large.
    """
    reader = _Reader()
    async for part in parts:
        reader.feed(part)
    return build_image_answer(reader.other(), reader.picture(), request_id)


def build_image_answer(body: object, picture: bytes | None, request_id: str) -> ImageAnswer:
    """The answer of an object as the API sends it, its picture decoded already.

    Raises:
        Unreadable: It is no such object.
    """
    if not isinstance(body, dict) or not isinstance(body.get("data", ""), list | None):
        raise UnreadableAnswer("it is not an answer of the images API")
    first: object = next(iter(body.get("data") or []), None)
    usage = body.get("usage")
    return ImageAnswer(
        request_id=request_id,
        picture=picture or None,
        address=first.get("url") if isinstance(first, dict) else None,
        usage=usage if isinstance(usage, dict) else None,
    )


class _Reader:
    """Takes the first picture out of a stream of JSON and keeps the rest."""

    def __init__(self) -> None:
        self._other = bytearray()
        self._encoded = bytearray()
        self._picture: bytearray | None = None
        self._inside = False

    def feed(self, part: bytes) -> None:
        if self._inside:
            return self._take(part)
        # The opening may be cut by two parts: only so much of what came before can belong to it.
        start = max(0, len(self._other) - _LONGEST_OPENING)
        self._other += part
        found = _OPENING.search(self._other, start) if self._picture is None else None
        if found:
            rest = bytes(self._other[found.end() :])
            del self._other[found.end() :]
            self._picture, self._inside = bytearray(), True
            return self._take(rest)
        if len(self._other) > MOST_OTHER_BYTES:
            raise UnreadableAnswer("it is too long")
        return None

    def _take(self, part: bytes) -> None:
        encoded, quote, rest = part.partition(b'"')
        # Some servers escape the slashes of base64.
        self._encoded += encoded.replace(b"\\", b"")
        self._decode(all_of_it=bool(quote))
        if quote:
            self._inside = False
            self.feed(quote + rest)

    def _decode(self, *, all_of_it: bool) -> None:
        if self._picture is None:
            return
        count = len(self._encoded) if all_of_it else len(self._encoded) // BASE64_GROUP * BASE64_GROUP
        try:
            self._picture += base64.b64decode(self._encoded[:count], validate=True)
        except binascii.Error as exc:
            raise UnreadableAnswer(f"its picture is damaged ({exc})") from exc
        del self._encoded[:count]
        if len(self._picture) > MOST_PICTURE_BYTES:
            raise UnreadableAnswer("its picture is too large")

    def picture(self) -> bytes | None:
        return None if self._picture is None else bytes(self._picture)

    def other(self) -> object:
        try:
            return json.loads(self._other)
        except ValueError as exc:
            raise UnreadableAnswer("it is not JSON") from exc
