"""How image files are built: their format by the first bytes, and the chunks of PNG, JPEG and WebP.

Takes the bytes of a file, gives its chunks (JPEG calls them segments) with their places, or says where
the file is cut off. Decodes no pixels.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from tasks.core.errors import BadImage

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
RIFF_HEADER_BYTES = 12

JPEG_APP0, JPEG_APP1, JPEG_APP2, JPEG_APP11, JPEG_APP15 = b"\xe0", b"\xe1", b"\xe2", b"\xeb", b"\xef"
JPEG_COMMENT = b"\xfe"
JPEG_END = b"\xd9"

# What starts a segment: not a stuffed byte (00), not filling (FF), not one of the restarts inside a scan (D0-D7).
_JPEG_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a file."""

    kind: bytes
    """Four letters (PNG, WebP) or the marker's second byte (JPEG)."""
    start: int
    """Where its header starts; another chunk can be put in here."""
    body: slice
    """Where its content lies, without header, checksum and padding."""


def build_bad_image(message: str) -> BadImage:
    """The error for bytes that are not a whole image: what came may have been paid for, so its cost is open."""
    return BadImage(message, cost_micros=None)


def detect_format(data: bytes) -> str | None:
    """`png`, `jpeg`, `webp`, `gif` or `avif` by the first bytes; None for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "avif" if data[4:12] in {b"ftypavif", b"ftypavis"} else None


def parse_chunks(data: bytes) -> list[Chunk]:
    """The chunks of a whole PNG, JPEG or WebP file, in order; none for any other format.

    Bytes behind the end of the image are ignored, as every viewer does.

    Raises:
        BadImage: The file is cut off, or a checksum is wrong. Fetching again may help.
    """
    match detect_format(data):
        case "png":
            return _parse_png(data)
        case "jpeg":
            return _parse_jpeg(data)
        case "webp":
            return _parse_webp(data)
        case _:
            return []


def get_riff_end(data: bytes) -> int:
    """Where a WebP file says that it ends, in bytes from its start."""
    return 8 + int.from_bytes(data[4:8], "little")


def _parse_png(data: bytes) -> list[Chunk]:
    chunks: list[Chunk] = []
    start = len(PNG_SIGNATURE)
    while not chunks or chunks[-1].kind != b"IEND":
        kind = data[start + 4 : start + 8]
        body = slice(start + 8, start + 8 + int.from_bytes(data[start : start + 4]))
        end = body.stop + 4
        if end > len(data):
            raise build_bad_image(f"the PNG is cut off after {len(data)} bytes")
        if zlib.crc32(data[start + 4 : body.stop]) != int.from_bytes(data[body.stop : end]):
            raise build_bad_image(f"the PNG is damaged: the checksum at byte {body.stop} is wrong")
        chunks.append(Chunk(kind, start, body))
        start = end
    return chunks


def _parse_jpeg(data: bytes) -> list[Chunk]:
    chunks: list[Chunk] = []
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        start = marker.start()
        kind = data[start + 1 : start + 2]
        if kind == JPEG_END:
            return [*chunks, Chunk(kind, start, slice(marker.end(), marker.end()))]
        # The two length bytes count themselves.
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
        chunks.append(Chunk(kind, start, slice(marker.end() + 2, position)))
    raise build_bad_image(f"the JPEG is cut off after {len(data)} bytes")


def _parse_webp(data: bytes) -> list[Chunk]:
    whole = get_riff_end(data)
    if whole > len(data):
        raise build_bad_image(f"the WebP is cut off: {len(data)} of {whole} bytes")
    chunks: list[Chunk] = []
    start = RIFF_HEADER_BYTES
    while start + 8 <= whole:
        body = slice(start + 8, start + 8 + int.from_bytes(data[start + 4 : start + 8], "little"))
        chunks.append(Chunk(data[start : start + 4], start, body))
        start = body.stop + body.stop % 2
        if start > whole:
            raise build_bad_image(f"the WebP is damaged: its last chunk ends at byte {start}, the file at {whole}")
    return chunks
