"""Notes in a WebP: Exif, XMP and a chunk of our own behind its pixels.

Source: RFC 9649, sections 2.7 and 2.7.1.5 (flags, Exif and XMP chunks).
"""

from __future__ import annotations

from tasks.store.chunks import RIFF_HEADER_BYTES, Chunk, build_bad_image, get_riff_end, iterate_chunks
from tasks.store.embedding.notes import Notes
from tasks.store.embedding.parameters import build_exif, build_text, encode_json
from tasks.store.embedding.splice import Edit, splice
from tasks.store.embedding.xmp import build_packet, mark_packet
from tasks.store.webp import EXIF_FLAG, STILL_PIXELS, build_vp8x, read_webp_header

JSON_KIND = b"IMGN"
XMP_KIND = b"XMP "
_XMP_FLAG = 0x04
_PLAIN = tuple(STILL_PIXELS)


def embed_webp(data: bytes, notes: Notes) -> bytes:
    """The WebP with the notes in it; Exif of its own is kept instead of ours.

    Raises:
        BadImage: It has no pixels, or further ones in a plain file, which a description would make unreadable.
    """
    if not read_webp_header(data).is_regular and data.startswith(_PLAIN, RIFF_HEADER_BYTES):
        raise build_bad_image("the WebP has more pixels than its one image")
    first = xmp = None
    has_exif = False
    for chunk in iterate_chunks(data):
        first = first or chunk
        has_exif = has_exif or chunk.kind == b"EXIF"
        xmp = chunk if xmp is None and chunk.kind == XMP_KIND else xmp
    if first is None:
        raise build_bad_image("the WebP has no pixels")
    header, end, edits = bytearray(build_vp8x(first.kind, data[first.body])), get_riff_end(data), list[Edit]()
    if notes.parameters is not None:
        if not has_exif:
            # Without the flag readers do not look for the chunk.
            header[0] |= EXIF_FLAG
            edits.append(Edit(end, end, _build_chunk(b"EXIF", build_exif(build_text(notes.parameters)))))
        edits.append(Edit(end, end, _build_chunk(JSON_KIND, encode_json(notes.parameters))))
    if notes.source_type is not None and (marks := _mark(data, xmp, end, notes.source_type)):
        header[0] |= _XMP_FLAG
        edits += marks
    return _resize(data, first, bytes(header), edits) if edits else data


def _mark(data: bytes, xmp: Chunk | None, end: int, source_type: str) -> list[Edit]:
    if xmp is None:
        return [Edit(end, end, _build_chunk(XMP_KIND, build_packet(source_type)))]
    marked = mark_packet(data[xmp.body], source_type)
    stop = xmp.body.stop + xmp.length % 2
    return [] if marked is None else [Edit(xmp.start, stop, _build_chunk(XMP_KIND, marked))]


def _resize(data: bytes, first: Chunk, header: bytes, edits: list[Edit]) -> bytes:
    # A plain WebP has no VP8X chunk: one is put in front, because Exif is allowed only behind it.
    kept_from = first.body.stop + first.length % 2 if first.kind == b"VP8X" else RIFF_HEADER_BYTES
    head = _build_chunk(b"VP8X", header)
    grown = len(head) + RIFF_HEADER_BYTES - kept_from + sum(len(edit.new) - (edit.stop - edit.start) for edit in edits)
    # RIFF's length does not count its own eight bytes.
    size = get_riff_end(data) - 8 + grown
    front = b"RIFF" + size.to_bytes(4, "little") + b"WEBP" + head
    return splice(data, [Edit(0, kept_from, front), *edits])


def _build_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
