"""Notes put into an image file and read from it, at the level of bytes.

Takes the bytes of a PNG, JPEG or WebP file and notes, gives the same file with them in it. Pixels and all other chunks
stay as they are, byte for byte. A file that is signed (C2PA), damaged or of another format is given back untouched.

| format | parameters as text | parameters as JSON | source type |
| --- | --- | --- | --- |
| PNG | iTXt chunk `parameters` | iTXt chunk `imagen` | XMP in an iTXt chunk |
| JPEG | Exif UserComment | comment segment, after `imagen:` | XMP in an APP1 segment |
| WebP | Exif UserComment | chunk `IMGN` | XMP chunk |
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Literal

from tasks.core.errors import BadImage
from tasks.store.chunks import (
    JPEG_APP1,
    JPEG_APP11,
    JPEG_COMMENT,
    JPEG_SCAN,
    Chunk,
    detect_format,
    iterate_chunks,
)
from tasks.store.embedding import jpeg, png, webp
from tasks.store.embedding.notes import Notes
from tasks.store.embedding.xmp import read_source_type

# An application extension, and a `uuid` box with its type (C2PA specification 2.2, "Embedding manifests").
_GIF_MANIFEST = b"\x21\xff\x0bC2PA_GIF\x01\x00\x00"
_AVIF_MANIFEST = b"uuid" + bytes.fromhex("d8fec3d61b0e483c92975828877ec481")

Provenance = Literal["c2pa", "iptc"]
"""The way in which a file says that it was generated: a signed manifest, or the source type in its XMP packet."""


def embed(data: bytes, notes: Notes) -> bytes:
    """The file with the notes in it, or `data` itself where nothing may be put in.

    Checksums are not compared again: whoever stores a file has done so.
    """
    try:
        # A signature covers the bytes: with ours in it the file would count as forged.
        if is_signed(data):
            return data
        match detect_format(data):
            case "png":
                return png.embed_png(data, notes)
            case "jpeg":
                return jpeg.embed_jpeg(data, notes)
            case "webp":
                return webp.embed_webp(data, notes)
            case _:
                return data
    except BadImage:
        return data


def read(data: bytes) -> dict[str, Any] | None:
    """The parameters that `embed` put in last; None where there are none, or the file is damaged."""
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
    """True if a file carries a C2PA manifest, which any change to the file would break."""
    match detect_format(data):
        case "gif":
            return _GIF_MANIFEST in data
        case "avif":
            return _AVIF_MANIFEST in data
    return any(_is_signature(data, chunk) for chunk in _iterate_about(data))


def find_source_type(data: bytes) -> str | None:
    """The source type in a file's XMP packet where it names a model; None for any other file."""
    packets = (packet for chunk in _iterate_about(data) if (packet := _find_packet(data, chunk)) is not None)
    return next((source_type for packet in packets if (source_type := read_source_type(packet)) is not None), None)


def find_provenance(data: bytes) -> Provenance | None:
    """The way in which the file says that it was generated; a signature says more than a packet. None: it does not."""
    if is_signed(data):
        return "c2pa"
    return None if find_source_type(data) is None else "iptc"


def _iterate_about(data: bytes) -> Iterator[Chunk]:
    """The chunks about the file, as far as it is whole."""
    try:
        # A JPEG's segments about the file stand before its first scan, which is most of the file.
        yield from takewhile(lambda chunk: chunk.kind != JPEG_SCAN, iterate_chunks(data, verify=False))
    except BadImage:
        return


def _is_signature(data: bytes, chunk: Chunk) -> bool:
    # `caBX`: PNG, APP11 with JUMBF: JPEG (C2PA specification, "Embedding manifests"); `C2PA`: WebP
    # (contentauth/c2pa-rs, sdk/src/asset_handlers/riff_io.rs at d830954, read 2026-11).
    return chunk.kind in {b"caBX", b"C2PA"} or (chunk.kind == JPEG_APP11 and data.startswith(b"JP", chunk.body.start))


def _find_json(kind: bytes, body: bytes) -> bytes | None:
    if kind == b"iTXt" and body.startswith(png.JSON_KEY):
        return body.removeprefix(png.JSON_KEY)
    if kind == JPEG_COMMENT and body.startswith(jpeg.JSON_KEY):
        return body.removeprefix(jpeg.JSON_KEY)
    return body if kind == webp.JSON_KIND else None


def _find_packet(data: bytes, chunk: Chunk) -> bytes | None:
    if chunk.kind == b"iTXt" and data.startswith(png.XMP_KEY, chunk.body.start):
        return data[chunk.body]
    if chunk.kind == JPEG_APP1 and data.startswith(jpeg.XMP_KEY, chunk.body.start):
        return data[chunk.body]
    return data[chunk.body] if chunk.kind == webp.XMP_KIND else None
