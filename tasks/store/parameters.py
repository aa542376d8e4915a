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
from collections.abc import Mapping, Sequence
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
    RIFF_HEADER_BYTES,
    Chunk,
    build_bad_image,
    detect_format,
    get_riff_end,
    parse_chunks,
)

_PNG_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
_ITXT_PLAIN = b"\0\0\0\0\0"  # end of keyword, not compressed, method 0, no language, no translated keyword
_PNG_JSON = b"imagen" + _ITXT_PLAIN

_JPEG_JSON = b"imagen:"
_JPEG_MAX_BODY_BYTES = 65_533
_EXIF = b"Exif\0\0"
_MULTI_PICTURE = b"MPF\0"

_WEBP_JSON = b"IMGN"
# Bits of the VP8X chunk, section 2.7 of RFC 9649.
_WEBP_ALPHA, _WEBP_EXIF = 0x10, 0x08


def embed(data: bytes, parameters: Mapping[str, Any]) -> bytes:
    """The file with `parameters` (values of JSON) in it, or `data` itself where nothing may be put in."""
    json_text = to_canonical_json(parameters)
    try:
        chunks = parse_chunks(data)
        if _has_signature(data, chunks):
            return data
        match detect_format(data):
            case "png":
                return _embed_png(data, chunks, _build_text(parameters), json_text)
            case "jpeg":
                return _embed_jpeg(data, chunks, _build_text(parameters), json_text)
            case "webp":
                return _embed_webp(data, chunks, _build_text(parameters), json_text)
            case _:
                return data
    except BadImage:
        return data


def read(data: bytes) -> dict[str, Any] | None:
    """The mapping that `embed` put in last; None where there is none, or the file is damaged."""
    try:
        carried = [
            text for chunk in parse_chunks(data) if (text := _find_json(chunk.kind, data[chunk.body])) is not None
        ]
        parameters = json.loads(carried[-1]) if carried else None
    except (BadImage, ValueError, RecursionError):
        return None
    return parameters if isinstance(parameters, dict) else None


def is_signed(data: bytes) -> bool:
    """Whether a PNG, JPEG or WebP file carries a C2PA manifest, which any change to the file would break."""
    try:
        return _has_signature(data, parse_chunks(data))
    except BadImage:
        return False


def _has_signature(data: bytes, chunks: Sequence[Chunk]) -> bool:
    # `caBX`: PNG, APP11 with JUMBF: JPEG (C2PA specification, "Embedding manifests"); `C2PA`: WebP
    # (contentauth/c2pa-rs, sdk/src/asset_handlers/riff_io.rs at d830954, read 2026-11).
    return any(
        chunk.kind in {b"caBX", b"C2PA"} or (chunk.kind == JPEG_APP11 and data[chunk.body].startswith(b"JP"))
        for chunk in chunks
    )


def _find_json(kind: bytes, body: bytes) -> bytes | None:
    if kind == b"iTXt" and body.startswith(_PNG_JSON):
        return body.removeprefix(_PNG_JSON)
    if kind == JPEG_COMMENT and body.startswith(_JPEG_JSON):
        return body.removeprefix(_JPEG_JSON)
    return body if kind == _WEBP_JSON else None


def _build_text(parameters: Mapping[str, Any]) -> str:
    """What web UIs show: the prompt, the negative prompt, and one line of settings.

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


def _encode_json(json_text: str) -> bytes:
    # A lone surrogate has no UTF-8; written with a backslash it is the JSON escape of the same character.
    return json_text.encode("utf-8", "backslashreplace")


def _embed_png(data: bytes, chunks: Sequence[Chunk], text: str, json_text: str) -> bytes:
    place = next((chunk.start for chunk in chunks if chunk.kind == b"IDAT"), None)
    if place is None:
        raise build_bad_image("the PNG has no pixels")
    added = _build_png_chunk(b"iTXt", _PNG_JSON + _encode_json(json_text))
    if not any(c.kind in _PNG_TEXT_KINDS and data[c.body].startswith(b"parameters\0") for c in chunks):
        added += _build_png_chunk(b"iTXt", b"parameters" + _ITXT_PLAIN + text.encode("utf-8", "replace"))
    return data[:place] + added + data[place:]


def _build_png_chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def _embed_jpeg(data: bytes, chunks: Sequence[Chunk], text: str, json_text: str) -> bytes:
    if any(c.kind == JPEG_APP2 and data[c.body].startswith(_MULTI_PICTURE) for c in chunks):
        return data  # its index counts bytes to the images behind the first one
    after_jfif = next(c.start for c in chunks if c.kind != JPEG_APP0)
    after_comments = next(c.start for c in chunks if not JPEG_APP0 <= c.kind <= JPEG_APP15 and c.kind != JPEG_COMMENT)
    has_exif = any(c.kind == JPEG_APP1 and data[c.body].startswith(_EXIF) for c in chunks)
    exif = b"" if has_exif else _build_jpeg_segment(JPEG_APP1, _EXIF + _build_exif(text))
    comment = _build_jpeg_segment(JPEG_COMMENT, _JPEG_JSON + _encode_json(json_text))
    return data[:after_jfif] + exif + data[after_jfif:after_comments] + comment + data[after_comments:]


def _build_jpeg_segment(kind: bytes, body: bytes) -> bytes:
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


def _embed_webp(data: bytes, chunks: Sequence[Chunk], text: str, json_text: str) -> bytes:
    if not chunks:
        raise build_bad_image("the WebP has no pixels")
    header = bytearray(_build_vp8x(chunks[0].kind, data[chunks[0].body]))
    has_header = chunks[0].kind == b"VP8X"
    kept = data[chunks[0].body.stop + len(header) % 2 if has_header else RIFF_HEADER_BYTES : get_riff_end(data)]
    added = b""
    if not any(chunk.kind == b"EXIF" for chunk in chunks):
        header[0] |= _WEBP_EXIF
        added = _build_riff_chunk(b"EXIF", _build_exif(text))
    added += _build_riff_chunk(_WEBP_JSON, _encode_json(json_text))
    body = b"WEBP" + _build_riff_chunk(b"VP8X", bytes(header)) + kept + added
    return b"RIFF" + len(body).to_bytes(4, "little") + body + data[get_riff_end(data) :]


def _build_riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)


def _build_vp8x(kind: bytes, body: bytes) -> bytes:
    """The content of the file's VP8X chunk; made from the image's own header where there is none."""
    if kind == b"VP8X" and len(body) >= 10:  # noqa: PLR2004  flags and canvas, section 2.7 of RFC 9649
        return body
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(body[place : place + 2], "little") & 0x3FFF for place in (6, 8))
        if width and height:
            return bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    if kind == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        flags = _WEBP_ALPHA if bits >> 28 & 1 else 0
        width_less_one, height_less_one = bits & 0x3FFF, bits >> 14 & 0x3FFF
        return bytes([flags, 0, 0, 0]) + width_less_one.to_bytes(3, "little") + height_less_one.to_bytes(3, "little")
    raise build_bad_image("the WebP starts with neither an image nor its description")
