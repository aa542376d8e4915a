"""The parameters of an image inside its own file, put in and read at the level of bytes.

Takes the bytes of a PNG, JPEG or WebP file and a mapping, gives the same file with the mapping in it, twice:
as the text that Stable Diffusion web UIs show and read back, and as JSON for `read`. Pixels and all other
chunks stay as they are, byte for byte. A file that is signed (C2PA), damaged or of another format is given
back untouched.

| format | text | JSON |
| --- | --- | --- |
| PNG | iTXt chunk `parameters` | iTXt chunk `imagen` |
| JPEG | Exif UserComment | comment segment, after `imagen:` |
| WebP | Exif UserComment | chunk `IMGN` |

A text of the file's own (from the backend) is kept instead of ours. A JPEG segment holds 64 KB: text or
JSON beyond that is left out there.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from tasks.core.errors import BadImage
from tasks.core.identity import to_canonical_json
from tasks.store.chunks import (
    JPEG_APP0,
    JPEG_APP1,
    JPEG_APP2,
    JPEG_APP11,
    JPEG_APP15,
    JPEG_COMMENT,
    JPEG_END,
    JPEG_SCAN,
    RIFF_HEADER_BYTES,
    Chunk,
    build_bad_image,
    detect_format,
    get_riff_end,
    iterate_chunks,
)
from tasks.store.webp import EXIF_FLAG, build_vp8x

_PNG_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
_ITXT_PLAIN = b"\0\0\0\0\0"  # end of keyword, not compressed, method 0, no language, no translated keyword
_PNG_JSON = b"imagen" + _ITXT_PLAIN

_JPEG_JSON = b"imagen:"
_JPEG_MAX_BODY_BYTES = 65_533
_JPEG_END_MARKER = b"\xff" + JPEG_END
_EXIF = b"Exif\0\0"
_MULTI_PICTURE = b"MPF\0"

_WEBP_JSON = b"IMGN"


def embed(data: bytes, parameters: Mapping[str, Any]) -> bytes:
    """The file with `parameters` (values of JSON) in it, or `data` itself where nothing may be put in.

    Checksums are not compared again: whoever stores a file has done so.
    """
    try:
        # A signature covers the bytes: with ours in it the file would count as forged.
        if is_signed(data):
            return data
        match detect_format(data):
            case "png":
                return _embed_png(data, parameters)
            case "jpeg":
                return _embed_jpeg(data, parameters)
            case "webp":
                return _embed_webp(data, parameters)
            case _:
                return data
    except BadImage:
        return data


def read(data: bytes) -> dict[str, Any] | None:
    """The mapping that `embed` put in last; None where there is none, or the file is damaged."""
    carried = None
    try:
        for chunk in iterate_chunks(data):
            if (text := _find_json(chunk.kind, data[chunk.body])) is not None:
                carried = text
        parameters = None if carried is None else json.loads(carried)
    except (BadImage, ValueError, RecursionError):
        return None
    return parameters if isinstance(parameters, dict) else None


def is_signed(data: bytes) -> bool:
    """True if a PNG, JPEG or WebP file carries a C2PA manifest, which any change to the file would break."""
    try:
        # A JPEG's segments about the file stand before its first scan, which is most of the file.
        about = takewhile(lambda chunk: chunk.kind != JPEG_SCAN, iterate_chunks(data, verify=False))
        return any(_is_signature(data, chunk) for chunk in about)
    except BadImage:
        return False


def _is_signature(data: bytes, chunk: Chunk) -> bool:
    # `caBX`: PNG, APP11 with JUMBF: JPEG (C2PA specification, "Embedding manifests"); `C2PA`: WebP
    # (contentauth/c2pa-rs, sdk/src/asset_handlers/riff_io.rs at d830954, read 2026-11).
    return chunk.kind in {b"caBX", b"C2PA"} or (chunk.kind == JPEG_APP11 and data.startswith(b"JP", chunk.body.start))


def _find_json(kind: bytes, body: bytes) -> bytes | None:
    if kind == b"iTXt" and body.startswith(_PNG_JSON):
        return body.removeprefix(_PNG_JSON)
    if kind == JPEG_COMMENT and body.startswith(_JPEG_JSON):
        return body.removeprefix(_JPEG_JSON)
    return body if kind == _WEBP_JSON else None


def _build_text(parameters: Mapping[str, Any]) -> str:
    """Build the text that web UIs show: the prompt, the negative prompt, and one line of settings.

    They take the last line for settings only if it has three of them, which seed, model and backend ensure
    (AUTOMATIC1111/stable-diffusion-webui, modules/infotext_utils.py at 0365002, read 2026-11).
    """
    width, height = parameters.get("requested_width"), parameters.get("requested_height")
    settings = {
        "Steps": parameters.get("steps"),
        "Seed": parameters.get("seed"),
        "Size": f"{width}x{height}" if width and height else None,
        "Model": parameters.get("model"),
        "Backend": parameters.get("backend"),
    }
    negative = parameters.get("negative_prompt")
    lines = [
        str(parameters.get("prompt", "")),
        *([f"Negative prompt: {negative}"] if negative else []),
        ", ".join(f"{name}: {_quote(value)}" for name, value in settings.items() if value is not None),
    ]
    return "\n".join(lines).replace("\0", " ")


def _quote(value: Any) -> str:
    text = str(value)
    return to_canonical_json(text) if any(mark in text for mark in ",:\n") else text


def _encode_json(parameters: Mapping[str, Any]) -> bytes:
    # A lone surrogate has no UTF-8; written with a backslash it is the JSON escape of the same character.
    return to_canonical_json(parameters).encode("utf-8", "backslashreplace")


def _embed_png(data: bytes, parameters: Mapping[str, Any]) -> bytes:
    # Before the pixels: readers that stop there still find it.
    place, has_text = None, False
    for chunk in iterate_chunks(data, verify=False):
        if place is None and chunk.kind == b"IDAT":
            place = chunk.start
        is_text = chunk.kind in _PNG_TEXT_KINDS
        has_text = has_text or (is_text and data.startswith(b"parameters\0", chunk.body.start))
    if place is None:
        raise build_bad_image("the PNG has no pixels")
    added = _build_png_chunk(b"iTXt", _PNG_JSON + _encode_json(parameters))
    if not has_text:
        text = _build_text(parameters).encode("utf-8", "replace")
        added += _build_png_chunk(b"iTXt", b"parameters" + _ITXT_PLAIN + text)
    return _join(data, (0, place), added, (place, len(data)))


def _join(data: bytes, *parts: bytes | tuple[int, int]) -> bytes:
    """The parts behind each other; a pair stands for these bytes of `data`, which are copied once."""
    view = memoryview(data)
    return b"".join(view[slice(*part)] if isinstance(part, tuple) else part for part in parts)


def _build_png_chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def _embed_jpeg(data: bytes, parameters: Mapping[str, Any]) -> bytes:
    after_jfif = after_comments = None
    has_exif = False
    for chunk in iterate_chunks(data):
        if chunk.kind == JPEG_APP2 and data.startswith(_MULTI_PICTURE, chunk.body.start):
            return data  # its index counts bytes to the images behind the first one
        if after_jfif is None and chunk.kind != JPEG_APP0:
            after_jfif = chunk.start
        has_exif = has_exif or (chunk.kind == JPEG_APP1 and data.startswith(_EXIF, chunk.body.start))
        if not JPEG_APP0 <= chunk.kind <= JPEG_APP15 and chunk.kind != JPEG_COMMENT:
            after_comments = chunk.start
            break
    if after_jfif is None or after_comments is None or data.rfind(_JPEG_END_MARKER) < after_comments:
        return data  # cut off
    exif = b"" if has_exif else _build_jpeg_segment(JPEG_APP1, _EXIF + _build_exif(_build_text(parameters)))
    comment = _build_jpeg_segment(JPEG_COMMENT, _JPEG_JSON + _encode_json(parameters))
    return _join(data, (0, after_jfif), exif, (after_jfif, after_comments), comment, (after_comments, len(data)))


def _build_jpeg_segment(kind: bytes, body: bytes) -> bytes:
    # The length field has 16 bits and counts itself.
    if len(body) > _JPEG_MAX_BODY_BYTES:
        return b""
    return b"\xff" + kind + (len(body) + 2).to_bytes(2) + body


def _build_exif(text: str) -> bytes:
    """A big-endian TIFF with one tag in its Exif directory: UserComment, in Unicode.

    Exif does not say in which byte order Unicode is; with a big-endian header there is only one guess.
    """
    comment = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    first_directory = _build_directory(tag=0x8769, type_=4, count=1, value=26)
    exif_directory = _build_directory(tag=0x9286, type_=7, count=len(comment), value=44)
    return b"MM\0*" + (8).to_bytes(4) + first_directory + exif_directory + comment


def _build_directory(*, tag: int, type_: int, count: int, value: int) -> bytes:
    """A TIFF directory of one entry, 18 bytes, with none after it."""
    entry = tag.to_bytes(2) + type_.to_bytes(2) + count.to_bytes(4) + value.to_bytes(4)
    return (1).to_bytes(2) + entry + bytes(4)


def _embed_webp(data: bytes, parameters: Mapping[str, Any]) -> bytes:
    first, has_exif = None, False
    for chunk in iterate_chunks(data):
        first = first or chunk
        has_exif = has_exif or chunk.kind == b"EXIF"
    if first is None:
        raise build_bad_image("the WebP has no pixels")
    header = bytearray(build_vp8x(first.kind, data[first.body]))
    # A plain WebP has no VP8X chunk: one is put in front, because Exif is allowed only behind it.
    kept_from = first.body.stop + len(header) % 2 if first.kind == b"VP8X" else RIFF_HEADER_BYTES
    added = b""
    if not has_exif:
        # Without the flag readers do not look for the chunk.
        header[0] |= EXIF_FLAG
        added = _build_riff_chunk(b"EXIF", _build_exif(_build_text(parameters)))
    added += _build_riff_chunk(_WEBP_JSON, _encode_json(parameters))
    head, end = _build_riff_chunk(b"VP8X", bytes(header)), get_riff_end(data)
    # RIFF's length does not count its own eight bytes.
    size = len(b"WEBP") + len(head) + end - kept_from + len(added)
    front = b"RIFF" + size.to_bytes(4, "little") + b"WEBP" + head
    return _join(data, front, (kept_from, end), added, (end, len(data)))


def _build_riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
