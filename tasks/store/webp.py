"""Header of a WebP file: its canvas, from the VP8X chunk or from the pixels' own header (RFC 9649)."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.store.chunks import Chunk, build_bad_image, iterate_chunks

ALPHA_FLAG, EXIF_FLAG = 0x10, 0x08
"""Bits of the VP8X chunk, section 2.7."""
VP8X_BYTES = 10


@dataclass(frozen=True, slots=True)
class WebpHeader:
    """Facts that need no decoder."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    exif: bytes | None


def read_webp_header(data: bytes) -> WebpHeader:
    """Read the canvas and the Exif chunk.

    Raises:
        BadImage: The file is cut off, or begins with neither an image nor its description.
    """
    first: Chunk | None = None
    exif = None
    for chunk in iterate_chunks(data):
        first = first or chunk
        if chunk.kind == b"EXIF":
            exif = data[chunk.body]
    if first is None:
        raise build_bad_image("the WebP has no pixels")
    canvas = build_vp8x(first.kind, data[first.body.start : first.body.start + VP8X_BYTES])
    # The canvas is stored less one, in 24 bits each.
    width, height = (int.from_bytes(canvas[place : place + 3], "little") + 1 for place in (4, 7))
    return WebpHeader(width, height, exif)


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
