"""Notes in a JPEG: Exif and XMP segments behind its JFIF header, and a comment.

A segment holds 64 KB: a text, JSON or packet beyond that is left out.
"""

from __future__ import annotations

from tasks.store.chunks import (
    JPEG_APP0,
    JPEG_APP1,
    JPEG_APP2,
    JPEG_APP15,
    JPEG_COMMENT,
    JPEG_END,
    Chunk,
    iterate_chunks,
)
from tasks.store.embedding.notes import Notes
from tasks.store.embedding.parameters import build_exif, build_text, encode_json
from tasks.store.embedding.splice import Edit, splice
from tasks.store.embedding.xmp import build_packet, mark_packet

JSON_KEY = b"imagen:"
XMP_KEY = b"http://ns.adobe.com/xap/1.0/\0"
_MAX_BODY_BYTES = 65_533
_END_MARKER = b"\xff" + JPEG_END
_EXIF = b"Exif\0\0"
_MULTI_PICTURE = b"MPF\0"


def embed_jpeg(data: bytes, notes: Notes) -> bytes:
    """The JPEG with the notes in it; Exif of its own is kept instead of ours. A file of several images stays as it is."""
    after_jfif = after_comments = xmp = None
    has_exif = False
    for chunk in iterate_chunks(data):
        if chunk.kind == JPEG_APP2 and data.startswith(_MULTI_PICTURE, chunk.body.start):
            return data  # its index counts bytes to the images behind the first one
        if after_jfif is None and chunk.kind != JPEG_APP0:
            after_jfif = chunk.start
        if chunk.kind == JPEG_APP1:
            has_exif = has_exif or data.startswith(_EXIF, chunk.body.start)
            xmp = chunk if xmp is None and data.startswith(XMP_KEY, chunk.body.start) else xmp
        if not JPEG_APP0 <= chunk.kind <= JPEG_APP15 and chunk.kind != JPEG_COMMENT:
            after_comments = chunk.start
            break
    if after_jfif is None or after_comments is None or data.rfind(_END_MARKER) < after_comments:
        return data  # cut off
    edits = []
    if notes.parameters is not None:
        if not has_exif:
            exif = _build_segment(JPEG_APP1, _EXIF + build_exif(build_text(notes.parameters)))
            edits.append(Edit(after_jfif, after_jfif, exif))
        comment = _build_segment(JPEG_COMMENT, JSON_KEY + encode_json(notes.parameters))
        edits.append(Edit(after_comments, after_comments, comment))
    if notes.source_type is not None:
        edits += _mark(data, xmp, after_jfif, notes.source_type)
    return splice(data, edits)


def _mark(data: bytes, xmp: Chunk | None, place: int, source_type: str) -> list[Edit]:
    if xmp is None:
        return [Edit(place, place, _build_segment(JPEG_APP1, XMP_KEY + build_packet(source_type)))]
    marked = mark_packet(data[xmp.body].removeprefix(XMP_KEY), source_type)
    segment = b"" if marked is None else _build_segment(JPEG_APP1, XMP_KEY + marked)
    # A full segment keeps what it has.
    return [Edit(xmp.start, xmp.body.stop, segment)] if segment else []


def _build_segment(kind: bytes, body: bytes) -> bytes:
    # The length field has 16 bits and counts itself.
    if len(body) > _MAX_BODY_BYTES:
        return b""
    return b"\xff" + kind + (len(body) + 2).to_bytes(2) + body
