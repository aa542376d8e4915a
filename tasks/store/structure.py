"""Proof that an image file is whole, from its container alone: what it promises about its length is kept to the last byte.

It costs a hundredth of decoding. A container that is odd but not cut off proves nothing either way: the decoder decides then.
What each format's container shows is in the table of docs/images.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from tasks.store.chunks import (
    JPEG_END,
    JPEG_SCAN,
    MAX_CHUNKS,
    RIFF_HEADER_BYTES,
    Chunk,
    build_bad_image,
    check_count,
    get_riff_end,
    iterate_chunks,
)
from tasks.store.webp import WebpHeader, read_frame_size, read_webp_header

_PNG_HEADER_BYTES = 13
_DEFLATE_WINDOWS = frozenset(bytes([size << 4 | 8]) for size in range(8))
# Start of frame, all kinds but the differential ones; section B.1.1.3 of ITU-T T.81.
_JPEG_FRAMES = frozenset(bytes([code]) for code in (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB))
# Between two scans: tables, restart interval, number of lines, comment.
_JPEG_BETWEEN_SCANS = frozenset(bytes([code]) for code in (0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, 0xD9))
_WEBP_PIXELS = (b"VP8 ", b"VP8L", b"ANMF")
_GIF_HEADER_BYTES = 13
_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = 0x21, 0x2C, 0x3B
_MAX_GIF_SUB_BLOCKS = 5 * MAX_CHUNKS
"""A sub-block holds at most 255 bytes, so a GIF of 64 MB has 263,000."""
_BOX_HEADER_BYTES, _LARGE_BOX_HEADER_BYTES = 8, 16
_AVIF_PARTS = frozenset({b"ftyp", b"meta", b"mdat"})
_BOX_KINDS = _AVIF_PARTS | {b"moov", b"moof", b"mfra", b"sidx", b"free", b"skip", b"wide", b"uuid", b"idat"}
"""Boxes at the top of a file (ISO/IEC 14496-12); anything else behind a whole image is rubbish, and no box that is cut off."""


def is_proven_whole(data: bytes, format: str) -> bool:  # noqa: A002  what every record calls it
    """True if the container proves that all of the file is there; False leaves it to the decoder.

    Raises:
        BadImage: It is cut off or damaged. Fetching again may help.
    """
    match format:
        case "png":
            return _is_whole_png(data, iterate_chunks(data))
        case "jpeg":
            return _is_whole_jpeg(data)
        case "webp":
            return _is_whole_webp(data)
        case "gif":
            return _is_whole_gif(data)
        case _:
            return _is_whole_avif(data)


def _is_whole_png(data: bytes, chunks: Iterator[Chunk]) -> bool:
    """Every byte is covered by a checksum, so what remains is whether the chunks are those of an image."""
    # There is one: the signature alone has been refused as cut off.
    first, pixels = next(chunks), None
    for chunk in chunks:
        if pixels is None and chunk.kind == b"IDAT":
            pixels = data[chunk.body.start : min(chunk.body.stop, chunk.body.start + 2)]
    is_image = first.kind == b"IHDR" and first.length == _PNG_HEADER_BYTES
    return is_image and pixels is not None and _begins_zlib(pixels)


def _begins_zlib(header: bytes) -> bool:
    """True if these two bytes begin a deflated stream: RFC 1950, section 2.2. Checksums may be right about rubbish."""
    return header[:1] in _DEFLATE_WINDOWS and int.from_bytes(header) % 31 == 0


def _is_whole_jpeg(data: bytes) -> bool:
    """Segments without a gap up to the first scan, only tables between scans, and the end marker as the last bytes."""
    has_frame = in_scan = False
    end, is_plain = 2, True
    for chunk in iterate_chunks(data):
        if chunk.kind == JPEG_END:
            # Bytes behind the end may be a second image or rubbish: the decoder decides.
            return is_plain and has_frame and in_scan and chunk.body.stop == len(data)
        is_plain = is_plain and (chunk.kind in _JPEG_BETWEEN_SCANS if in_scan else chunk.start == end)
        has_frame = has_frame or chunk.kind in _JPEG_FRAMES
        in_scan = in_scan or chunk.kind == JPEG_SCAN
        end = chunk.body.stop
    return False


def _is_whole_webp(data: bytes) -> bool:
    """The RIFF length and those of all chunks fit to the last byte, and the pixels begin as their bit stream has to."""
    canvas = read_webp_header(data)
    if not canvas.is_regular:
        return False
    end, is_sound = RIFF_HEADER_BYTES, False
    for chunk in iterate_chunks(data):
        end = chunk.body.stop + chunk.length % 2
        if chunk.kind in _WEBP_PIXELS:
            is_sound = _is_sound_frame(data, chunk, canvas)
            if not is_sound:
                return False
    return is_sound and end == get_riff_end(data) == len(data)


def _is_sound_frame(data: bytes, chunk: Chunk, canvas: WebpHeader) -> bool:
    """True if the header of a frame fits its chunk and the canvas: RFC 6386 section 9.1, RFC 9649 section 3.4."""
    if chunk.kind == b"ANMF":
        return True  # a frame of an animation; its chunks lie inside of it
    head = data[chunk.body.start : chunk.body.start + 10]
    size = read_frame_size(chunk.kind, head)
    if size is None or size[:2] != (canvas.width, canvas.height):
        return False
    if chunk.kind == b"VP8L":
        return not head[4] >> 5  # the version
    tag = int.from_bytes(head[:3], "little")
    is_key_frame, is_shown, first_partition_bytes = not tag & 1, bool(tag >> 4 & 1), tag >> 5
    return is_key_frame and is_shown and 0 < first_partition_bytes < chunk.length - len(head)


def _is_whole_gif(data: bytes) -> bool:
    """Blocks one after the other up to the trailer, which is the last byte."""
    position, seen = _GIF_HEADER_BYTES + _count_colour_bytes(data, 10), 0
    has_pixels = False
    while position < len(data):
        kind = data[position]
        if kind == _GIF_TRAILER:
            return has_pixels and position == len(data) - 1
        if kind == _GIF_EXTENSION:
            position += 2
        elif kind == _GIF_IMAGE:
            has_pixels = True
            position += 11 + _count_colour_bytes(data, position + 9)
        else:
            return False
        position, seen = _skip_sub_blocks(data, position, seen)
    raise build_bad_image(f"the GIF is cut off after {len(data)} bytes")


def _count_colour_bytes(data: bytes, flags_at: int) -> int:
    """Size of the colour table that the flags at this place announce."""
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_sub_blocks(data: bytes, position: int, seen: int) -> tuple[int, int]:
    while position < len(data) and (size := data[position]):
        position += 1 + size
        seen += 1
        if seen > _MAX_GIF_SUB_BLOCKS:
            raise build_bad_image(f"the GIF has more than {_MAX_GIF_SUB_BLOCKS} blocks, which no image needs")
    return position + 1, seen + 1


def _is_whole_avif(data: bytes) -> bool:
    """Boxes one after the other that end with the file, description and pixels among them."""
    position, kinds = 0, set[bytes]()
    for number in count():
        # A file of empty boxes would keep a thread busy for minutes.
        check_count(number)
        size, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        if size == 1:  # a 64-bit length follows
            size = int.from_bytes(data[position + 8 : position + _LARGE_BOX_HEADER_BYTES])
        if size == 0:
            return False  # it reaches to the end of the file, wherever that is
        if kinds >= _AVIF_PARTS and kind not in _BOX_KINDS:
            return False
        # A size below the header's would never move on.
        if size < _BOX_HEADER_BYTES or position + size > len(data):
            raise build_bad_image(f"the AVIF is cut off: {len(data)} of {position + size} bytes")
        kinds.add(kind)
        position += size
        if position == len(data):
            break
    return kinds >= _AVIF_PARTS
