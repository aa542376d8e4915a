"""Header of a WebP file: its canvas, from the VP8X chunk or from the pixels' own header (RFC 9649)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tasks.store.chunks import Chunk, build_bad_image, iterate_chunks

ANIMATION_FLAG, ALPHA_FLAG, EXIF_FLAG = 0x02, 0x10, 0x08
"""Bits of the VP8X chunk, section 2.7."""
FRAME, ALPHA = b"ANMF", b"ALPH"
STILL_PIXELS = frozenset({b"VP8 ", b"VP8L"})
VP8X_BYTES = 10


@dataclass(frozen=True, slots=True)
class WebpHeader:
    """Facts that need no decoder."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    exif: bytes | None
    is_regular: bool
    """The chunks are those of one still image or of one animation, as the description says."""


def read_webp_header(data: bytes) -> WebpHeader:
    """Read the canvas and the Exif chunk.

    Raises:
        BadImage: The file is cut off, or begins with neither an image nor its description.
    """
    first: Chunk | None = None
    exif = None
    pixels: Counter[bytes] = Counter()
    for chunk in iterate_chunks(data):
        first = first or chunk
        if chunk.kind == b"EXIF" and exif is None:
            exif = data[chunk.body]
        if chunk.kind in STILL_PIXELS or chunk.kind in {FRAME, ALPHA}:
            pixels[chunk.kind] += 1
    if first is None:
        raise build_bad_image("the WebP has no pixels")
    canvas = build_vp8x(first.kind, data[first.body.start : first.body.start + VP8X_BYTES])
    # The canvas is stored less one, in 24 bits each.
    width, height = (int.from_bytes(canvas[place : place + 3], "little") + 1 for place in (4, 7))
    # Viewers look for Exif data only where the description announces it; a plain file has no description.
    is_announced = first.kind == b"VP8X" and bool(canvas[0] & EXIF_FLAG)
    is_regular = _is_regular(pixels, is_animation=bool(canvas[0] & ANIMATION_FLAG), is_plain=first.kind != b"VP8X")
    return WebpHeader(width, height, exif if is_announced else None, is_regular)


def _is_regular(pixels: Counter[bytes], *, is_animation: bool, is_plain: bool) -> bool:
    """True for one image, or for the frames of an animation; section 2.7 of RFC 9649."""
    images, frames, alphas = sum(pixels[kind] for kind in STILL_PIXELS), pixels[FRAME], pixels[ALPHA]
    if is_animation:
        return frames > 0 and not images and not alphas
    return images == 1 and not frames and alphas <= (0 if is_plain else 1)


def build_vp8x(kind: bytes, body: bytes) -> bytes:
    """The content of the file's VP8X chunk; made from the image's own header where there is none.

    Args:
        kind: Of the file's first chunk.
        body: Its content, at least the first ten bytes.

    Raises:
        BadImage: It is neither an image nor its description.
    """
    if kind == b"VP8X" and len(body) >= VP8X_BYTES:
        return body
    if size := read_frame_size(kind, body):
        width, height, has_alpha = size
        flags = ALPHA_FLAG if has_alpha else 0
        return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    raise build_bad_image("the WebP starts with neither an image nor its description")


def read_frame_size(kind: bytes, body: bytes) -> tuple[int, int, bool] | None:
    """Width, height and transparency of a VP8 or VP8L chunk; None for anything else."""
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(body[place : place + 2], "little") & 0x3FFF for place in (6, 8))
        return (width, height, False) if width and height else None
    if kind == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    return None
