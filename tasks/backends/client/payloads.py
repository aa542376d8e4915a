"""Images inside an answer: base64 as services spell it, and bodies that are a text in place of an image."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from itertools import islice
from typing import Any
from urllib.parse import unquote_to_bytes

from tasks.backends.client.transport import MOST_IMAGE_BYTES, MOST_JSON_BYTES
from tasks.store.chunks import detect_format, name_foreign_format

_DATA_SCHEME = "data:"
GROUP = 4
MOST_ANSWER_BYTES = MOST_IMAGE_BYTES * GROUP // 3 + MOST_JSON_BYTES  # base64 writes three bytes as four characters
"""Of a JSON answer that holds the largest image in base64."""
_URL_SAFE = str.maketrans("-_", "+/")
# The first bytes of PNG, JPEG, WebP, GIF and AVIF in base64, and addresses that end as those of images do.
_IMAGE = re.compile(
    r"data:image/|(?:iVBORw0KGgo|/9j/|UklGR|R0lGOD|AAAA[\w+/]{2}Z0eX)[\w+/-]{20}"
    r"|https?://[^\s?#]+\.(?:png|jpe?g|webp|avif|gif)(?:[?#]\S*)?$",
    re.IGNORECASE,
)
MOST_SEARCHED = 10_000
"""Values of an answer that are searched for an image that stands in another place than it should."""


def is_data_address(text: str) -> bool:
    """True for a `data:` address; a scheme is written in any case (RFC 3986)."""
    return text[: len(_DATA_SCHEME)].lower() == _DATA_SCHEME


def decode_base64(text: str) -> bytes:
    """The bytes of base64, however a service spells it.

    A `data:` head, white space, the URL-safe alphabet and missing padding are all understood.

    Raises:
        ValueError: It is not base64, not whole, or too large.
    """
    if is_data_address(text.lstrip()):
        return decode_data_url(text)
    digits = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    # Four characters make three bytes, and one character left over holds less than a byte: something was cut off.
    if len(digits) % GROUP == 1:
        raise ValueError("its base64 is not whole")
    # Checked before decoding: the text is in memory already, a second copy of it need not be.
    if len(digits) > MOST_IMAGE_BYTES * GROUP // 3:
        raise ValueError(f"it is larger than {MOST_IMAGE_BYTES:,} bytes")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % GROUP), validate=True)
    except ValueError as exc:  # binascii.Error is one
        raise ValueError(f"its base64 is damaged ({exc})") from exc


def decode_image(text: str) -> bytes:
    """The bytes of an image that is written as a text: base64, base64 of base64, or hexadecimal digits.

    Raises:
        ValueError: It is none of them, or no image.
    """
    data = decode_base64(text)
    # A drawing, a page or a foreign format is told by its name when the image is checked.
    if detect_format(data) is not None or name_foreign_format(data) is not None or is_text(data):
        return data
    # What begins as an image leaves no doubt about how it was written.
    for decode in (bytes.fromhex, lambda _: decode_base64(data.decode("ascii"))):
        with suppress(ValueError):
            if detect_format(found := decode(text)) is not None:
                return found
    raise ValueError(f"its base64 is not that of an image (it begins with {data[:12]!r})")


def decode_data_url(address: str) -> bytes:
    """The bytes of a `data:` address.

    Raises:
        ValueError: It has no comma, or its base64 cannot be decoded.
    """
    head, comma, payload = address.partition(",")
    if not comma:
        raise ValueError("it is a data address without a comma")
    # `data:image/png;base64,`, and some put a charset behind it; without that word the payload is percent-encoded.
    if "base64" in head.lower().replace(" ", "").split(";")[1:]:
        return decode_base64(unquote_to_bytes(payload).decode("ascii", "replace"))
    return unquote_to_bytes(payload)


def is_text(body: bytes) -> bool:
    """True if a body is JSON, XML or a page in place of an image; SVG is one too."""
    beginning = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    # An image in a binary format never begins with these: PNG 0x89, JPEG 0xFF, WebP R, GIF G, AVIF 0x00.
    return beginning in {b"", b"{", b"[", b"<", b'"'}


def find_image_place(document: Any) -> str | None:
    """The place, as `/images/0`, of what looks like an image or its address in an answer; None where nothing does."""
    waiting = [("", document)]
    # A list instead of recursion, and bounded: an answer may be as deep and as wide as its bytes allow.
    for place, value in waiting:
        if isinstance(value, str) and _IMAGE.match(value.lstrip()[:2_048]):
            return place or "/"
        if len(waiting) < MOST_SEARCHED and isinstance(value, dict | list):
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += ((f"{place}/{name}", part) for name, part in islice(parts, MOST_SEARCHED))
    return None
