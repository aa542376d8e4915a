"""Images inside an answer, however a service spells their base64."""

from __future__ import annotations

import base64

import pytest

from tasks.backends.client import payloads
from tasks.backends.client.payloads import decode_base64, is_text

DATA = bytes(range(256)) + b"\xfb\xff\xfe"
ENCODED = base64.b64encode(DATA).decode()
SPELLINGS = {
    "plain": ENCODED,
    "data address": f"data:image/png;base64,{ENCODED}",
    "data address in capitals": f"DATA:image/png;BASE64,{ENCODED}",
    "lines": "\n".join(ENCODED[start : start + 76] for start in range(0, len(ENCODED), 76)) + "\n",
    "lines of Windows": "\r\n".join(ENCODED[start : start + 64] for start in range(0, len(ENCODED), 64)),
    "URL-safe": base64.urlsafe_b64encode(DATA).decode(),
    "URL-safe without padding": base64.urlsafe_b64encode(DATA).decode().rstrip("="),
    "without padding": ENCODED.rstrip("="),
    "percent-encoded": "data:image/png;base64," + ENCODED.replace("+", "%2B").replace("=", "%3D"),
    "spaces around": f"  {ENCODED} ",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_usual_spelling_is_decoded(name: str) -> None:
    """A paid image is not lost to the way in which its base64 is written."""
    assert decode_base64(SPELLINGS[name]) == DATA


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("***", "damaged"),
        ("QUJD=QUJ", "damaged"),
        ("QUJDQ", "not whole"),
        ("data:image/png;base64", "comma"),
        ("\u00e9\u00e9\u00e9\u00e9", "damaged"),
    ],
)
def test_what_is_not_base64_is_refused(text: str, reason: str) -> None:
    """Damage is told, never decoded into something else."""
    with pytest.raises(ValueError, match=reason):
        decode_base64(text)


def test_the_decoded_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile answer takes no more memory than the largest image that is allowed."""
    monkeypatch.setattr(payloads, "MOST_IMAGE_BYTES", 9)
    with pytest.raises(ValueError, match="larger than 9 bytes"):
        decode_base64(ENCODED)


@pytest.mark.parametrize("body", [b'{"error": "no"}', b" <svg/>", b"\xef\xbb\xbf<html>", b"[]", b"", b"  \n"])
def test_a_text_in_place_of_an_image_is_told(body: bytes) -> None:
    """A 200 that holds an error object or a page is no image."""
    assert is_text(body)
    assert not is_text(b"\x89PNG\r\n")
