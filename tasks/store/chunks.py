"""Chunks of PNG, JPEG and WebP files, and the format of a file by its first bytes.

Takes the bytes of a file, gives its chunks (JPEG calls them segments) one after the other, or says where the file is cut
off. Decodes no pixels, and holds one chunk at a time however many a hostile file has.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.core.errors import BadImage

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
RIFF_HEADER_BYTES = 12

JPEG_APP0, JPEG_APP1, JPEG_APP2, JPEG_APP11, JPEG_APP15 = b"\xe0", b"\xe1", b"\xe2", b"\xeb", b"\xef"
JPEG_COMMENT = b"\xfe"
JPEG_SCAN = b"\xda"
JPEG_END = b"\xd9"

MAX_CHUNKS = 65_536
"""Chunks of one file. A 64 MB PNG in pieces of 1 KB has as many; five million empty ones would take minutes."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_MAX_BRANDS_BYTES = 256

# Starts a segment: not a stuffed byte (00), not filling (FF), not one of the restarts inside a scan (D0-D7).
_JPEG_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a file."""

    kind: bytes
    """Four letters (PNG, WebP) or the marker's second byte (JPEG)."""
    start: int
    """Place of its header; another chunk can be put in here."""
    body: slice
    """Place of its content, without header, checksum and padding."""

    @property
    def length(self) -> int:
        """Bytes of the content."""
        return int(self.body.stop - self.body.start)


def build_bad_image(message: str) -> BadImage:
    """The error for bytes that are not a whole image. They may have been paid for, so their cost is open."""
    return BadImage(message, cost_micros=None)


def detect_format(data: bytes) -> str | None:
    """`png`, `jpeg`, `webp`, `gif` or `avif` by the first bytes; None for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    # RIFF alone is WAV and AVI too.
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "avif" if data[4:8] == b"ftyp" and _lists_avif(data) else None


def _lists_avif(data: bytes) -> bool:
    """True if AVIF is a brand of the file, or one that it is compatible with: some encoders put `mif1` first."""
    end = min(int.from_bytes(data[:4]), _MAX_BRANDS_BYTES)
    return any(data[place : place + 4] in _AVIF_BRANDS for place in (8, *range(16, end, 4)))


_FOREIGN = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"\0\0\1\0": "ICO",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"8BPS": "PSD",
    b"v/1\x01": "EXR",
    b"%PDF-": "PDF",
    b"PK\3\4": "ZIP",
    b"glTF": "glTF",
    b"\x1aE\xdf\xa3": "WebM",
}
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
SVG_WITHIN = 4_096


def name_foreign_format(data: bytes) -> str | None:
    """The format of a whole file that is not stored as an image, such as SVG or TIFF; None for what is none of them."""
    # An SVG may begin with a byte order mark and blank lines; an error page looks the same up to its first tag.
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return "SVG" if _SVG.search(data, 0, SVG_WITHIN) else None
    if data[4:8] == b"ftyp" and detect_format(data) is None:
        return "HEIC or a video"
    return next((name for beginning, name in _FOREIGN.items() if data.startswith(beginning)), None)


def describe_beginning(data: bytes) -> str:
    """The first bytes for a person: an error page or message can be read, anything else is named in hex."""
    # The cut may go through a character; a replacement anywhere else means that this is no text.
    text = " ".join(data[:80].decode("utf-8", "replace").rstrip("\ufffd").split())
    if not text.isprintable() or not text or "\ufffd" in text:
        return f"{len(data)} bytes that start with {data[:8].hex(' ')}"
    return f"a web page or other markup, {text!r}" if text.startswith("<") else f"a text, {text!r}"


def iterate_chunks(data: bytes, *, verify: bool = True) -> Iterator[Chunk]:
    """The chunks of a PNG, JPEG or WebP file, in order; none for any other format.

    Bytes behind the end of the image are ignored, as every viewer does.

    Raises:
        BadImage: The file is cut off, a checksum is wrong, or it has more than `MAX_CHUNKS` chunks. Fetching again may
            help.
    """
    match detect_format(data):
        case "png":
            chunks = _iterate_png(data, verify=verify)
        case "jpeg":
            chunks = _iterate_jpeg(data)
        case "webp":
            chunks = _iterate_webp(data)
        case _:
            return
    # Counted while they are read: a hostile file must not fill a list first.
    for number, chunk in enumerate(chunks):
        check_count(number)
        yield chunk


def check_count(number: int) -> None:
    """Pass while a file has few enough chunks.

    Raises:
        BadImage: It has more than `MAX_CHUNKS`.
    """
    if number >= MAX_CHUNKS:
        raise build_bad_image(f"the file has more than {MAX_CHUNKS} chunks, which no image needs")


def get_riff_end(data: bytes) -> int:
    """Place where a WebP file says that it ends, in bytes from its start."""
    return 8 + int.from_bytes(data[4:8], "little")


def _iterate_png(data: bytes, *, verify: bool) -> Iterator[Chunk]:
    view = memoryview(data)  # slices of it copy nothing
    start, kind = len(PNG_SIGNATURE), b""
    # What is behind it is not the image's: some services add bytes there.
    while kind != b"IEND":
        kind = data[start + 4 : start + 8]
        body = slice(start + 8, start + 8 + int.from_bytes(data[start : start + 4]))
        end = body.stop + 4
        if end > len(data):
            raise build_bad_image(f"the PNG is cut off after {len(data)} bytes")
        if verify and zlib.crc32(view[start + 4 : body.stop]) != int.from_bytes(data[body.stop : end]):
            raise build_bad_image(f"the PNG is damaged: the checksum at byte {body.stop} is wrong")
        yield Chunk(kind, start, body)
        start = end


def _iterate_jpeg(data: bytes) -> Iterator[Chunk]:
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        start = marker.start()
        kind = data[start + 1 : start + 2]
        if kind == JPEG_END:
            yield Chunk(kind, start, slice(marker.end(), marker.end()))
            return
        # The two length bytes count themselves.
        # Jumps over the content, which may hold anything that looks like a marker (a thumbnail is a whole JPEG).
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
        yield Chunk(kind, start, slice(marker.end() + 2, position))
    raise build_bad_image(f"the JPEG is cut off after {len(data)} bytes")


def _iterate_webp(data: bytes) -> Iterator[Chunk]:
    whole = get_riff_end(data)
    if whole > len(data):
        raise build_bad_image(f"the WebP is cut off: {len(data)} of {whole} bytes")
    start = RIFF_HEADER_BYTES
    while start + 8 <= whole:
        body = slice(start + 8, start + 8 + int.from_bytes(data[start + 4 : start + 8], "little"))
        # RIFF pads odd chunks with one byte.
        end = body.stop + body.stop % 2
        if end > whole:
            raise build_bad_image(f"the WebP is damaged: its last chunk ends at byte {end}, the file at {whole}")
        yield Chunk(data[start : start + 4], start, body)
        start = end
