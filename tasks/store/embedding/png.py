"""Notes in a PNG: text chunks before its pixels.

Sources: PNG specification, third edition, 11.3.3.4 (iTXt); XMP specification part 3, 1.1.5 (its keyword).
"""

from __future__ import annotations

import zlib

from tasks.store.chunks import Chunk, build_bad_image, iterate_chunks
from tasks.store.embedding.notes import Notes
from tasks.store.embedding.parameters import build_text, encode_json
from tasks.store.embedding.splice import Edit, splice
from tasks.store.embedding.xmp import build_packet, mark_packet

_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
_ITXT_PLAIN = b"\0\0\0\0\0"  # end of keyword, not compressed, method 0, no language, no translated keyword
JSON_KEY = b"imagen" + _ITXT_PLAIN
XMP_KEY = b"XML:com.adobe.xmp" + _ITXT_PLAIN
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"


def embed_png(data: bytes, notes: Notes) -> bytes:
    """The PNG with the notes in it; a text of its own is kept instead of ours.

    Raises:
        BadImage: It has no pixels.
    """
    place, has_text, xmp = None, False, None
    for chunk in iterate_chunks(data, verify=False):
        # Before the pixels: readers that stop there still find it.
        if place is None and chunk.kind == b"IDAT":
            place = chunk.start
        if chunk.kind in _TEXT_KINDS:
            has_text = has_text or data.startswith(b"parameters\0", chunk.body.start)
            xmp = chunk if xmp is None and data.startswith(_XMP_KEYWORD, chunk.body.start) else xmp
    if place is None:
        raise build_bad_image("the PNG has no pixels")
    edits = []
    if notes.parameters is not None:
        edits.append(Edit(place, place, _build_chunk(JSON_KEY + encode_json(notes.parameters))))
        if not has_text:
            text = build_text(notes.parameters).encode("utf-8", "replace")
            edits.append(Edit(place, place, _build_chunk(b"parameters" + _ITXT_PLAIN + text)))
    if notes.source_type is not None:
        edits += _mark(data, xmp, place, notes.source_type)
    return splice(data, edits)


def _mark(data: bytes, xmp: Chunk | None, place: int, source_type: str) -> list[Edit]:
    if xmp is None:
        return [Edit(place, place, _build_chunk(XMP_KEY + build_packet(source_type)))]
    own = data[xmp.body]
    # A compressed packet is left alone: XMP's specification asks writers for a plain one.
    marked = mark_packet(own.removeprefix(XMP_KEY), source_type) if own.startswith(XMP_KEY) else None
    return [] if marked is None else [Edit(xmp.start, xmp.body.stop + 4, _build_chunk(XMP_KEY + marked))]


def _build_chunk(body: bytes) -> bytes:
    return len(body).to_bytes(4) + b"iTXt" + body + zlib.crc32(b"iTXt" + body).to_bytes(4)
