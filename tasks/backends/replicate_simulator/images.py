"""Image files at next to no cost: a few are encoded for each size and format, and every prediction gets its own copy.

A copy differs in bytes (a block with the prediction's id, and filling up to the wished size), so that no two files
are the same. The block stands before the pixels where the format allows it: half a file is half an image.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from PIL import Image

FORMATS: Mapping[str, str] = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
CONTENT_TYPES: Mapping[str, str] = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
VARIANTS = 8
PNG_HEAD = 33
"""Bytes of signature and header chunk."""
JPEG_BLOCK = 65_000
"""A comment holds up to 65,533 bytes."""
RIFF_HEAD = 12


def make_image(name: str, kind: str, size: tuple[int, int], *, kb: int) -> bytes:
    """The file of an image: `kind` is png, jpg or webp, `size` in pixels, `name` makes it different from all others."""
    digest = sha256(name.encode()).digest()
    # The first byte of the name chooses the variant: equal names always give equal files.
    return _mark(_encode(kind, size, digest[0] % VARIANTS), kind, size, digest, kb=kb)


def copy_image(name: str, kind: str, folder: str, *, kb: int) -> bytes:
    """One of the folder's files of this kind, which `name` chooses and makes different from all others.

    Raises:
        FileNotFoundError: The folder has none.
    """
    digest = sha256(name.encode()).digest()
    files = _read_files(kind, folder)
    encoded, size = files[digest[0] % len(files)]
    return _mark(encoded, kind, size, digest, kb=kb)


def _mark(encoded: bytes, kind: str, size: tuple[int, int], digest: bytes, *, kb: int) -> bytes:
    # The name repeated: every file differs from all others, and is as large as was asked for.
    filling = digest * (max(0, kb * 1000 - len(encoded)) // len(digest) + 1)
    match kind:
        case "png":
            return encoded[:PNG_HEAD] + _build_png_chunk(b"prVt", filling) + encoded[PNG_HEAD:]
        case "jpg":
            # Behind the two bytes that every JPEG begins with; comments may stand nowhere earlier.
            return encoded[:2] + _build_jpeg_comments(filling) + encoded[2:]
        case _:
            return _extend_webp(encoded, size, filling)


# Encoding takes longer than everything else here: a few images serve all predictions.
@cache
def _read_files(kind: str, folder: str) -> list[tuple[bytes, tuple[int, int]]]:
    """Every file of the kind with its size in pixels, read once: each image is sent from memory."""
    found = []
    for path in sorted(Path(folder).glob(f"*.{kind}")):
        with Image.open(path) as image:
            found.append((path.read_bytes(), image.size))
    if not found:
        raise FileNotFoundError(f"{folder}: no file ends with .{kind}")
    return found


@cache
def _encode(kind: str, size: tuple[int, int], variant: int) -> bytes:
    """One of the few images that are really made: a gradient in one of the variants' colours."""
    tone = 255 * variant // (VARIANTS - 1)
    shade = Image.linear_gradient("L").resize(size)
    flat = Image.new("L", size, tone)
    file = BytesIO()
    # The quickest settings: nobody looks at these images.
    quick = {"png": {"compress_level": 1}, "jpg": {"quality": 80}, "webp": {"quality": 60, "method": 0}}[kind]
    Image.merge("RGB", (shade, flat, shade.transpose(Image.Transpose.ROTATE_180))).save(file, FORMATS[kind], **quick)
    return file.getvalue()


def _build_png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _build_jpeg_comments(data: bytes) -> bytes:
    blocks = (data[start : start + JPEG_BLOCK] for start in range(0, len(data), JPEG_BLOCK))
    return b"".join(b"\xff\xfe" + struct.pack(">H", len(block) + 2) + block for block in blocks)


def _extend_webp(encoded: bytes, size: tuple[int, int], data: bytes) -> bytes:
    """The image in the extended format, which alone may carry further chunks; they follow the pixels."""
    width, height = size
    head = struct.pack("<4sI4x", b"VP8X", 10) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    if encoded.startswith(b"VP8X", RIFF_HEAD):  # a file of a folder may be one already, and two heads are none
        head = b""
    # RIFF pads odd chunks with a byte that their length does not count.
    even = data + b"\0" * (len(data) % 2)
    chunks = head + encoded[RIFF_HEAD:] + struct.pack("<4sI", b"PRVT", len(data)) + even
    return struct.pack("<4sI4s", b"RIFF", len(chunks) + 4, b"WEBP") + chunks
