"""PNG files without what their decoder would unpack for nothing: no pixel needs it, and a small one can unpack to gigabytes.

Pillow refuses the whole image where a text unpacks to more than its bound, or is packed in a way that it does not know.
"""

from __future__ import annotations

import zlib

from PIL import PngImagePlugin

from tasks.store.chunks import Chunk, iterate_chunks
from tasks.store.embedding.splice import Edit, splice

MOST_PROFILE_BYTES = 16 * 2**20
"""Of a colour profile, unpacked; those of printers have up to 3 MB."""
_CRC_BYTES = 4

# Pillow's own bound is 1 MB.
PngImagePlugin.MAX_TEXT_CHUNK = MOST_PROFILE_BYTES


def drop_packed_texts(data: bytes) -> bytes:
    """The PNG without packed texts, and without a colour profile that cannot be unpacked within bounds.

    Raises:
        BadImage: It is cut off.
    """
    dropped = [chunk for chunk in iterate_chunks(data, verify=False) if _is_dropped(data, chunk)]
    return (
        splice(data, [Edit(chunk.start, chunk.body.stop + _CRC_BYTES, b"") for chunk in dropped]) if dropped else data
    )


def _is_dropped(data: bytes, chunk: Chunk) -> bool:
    match chunk.kind:
        case b"zTXt":
            return True
        case b"iTXt":
            # One byte behind the keyword says whether the text is packed.
            return data[_find_behind_name(data, chunk) : chunk.body.stop][:1] == b"\x01"
        case b"iCCP":
            return not _fits(data[_find_behind_name(data, chunk) : chunk.body.stop])
    return False


def _find_behind_name(data: bytes, chunk: Chunk) -> int:
    end = data.find(b"\0", chunk.body.start, chunk.body.stop)
    return chunk.body.stop if end < 0 else end + 1


def _fits(packed: bytes) -> bool:
    """True for a profile behind its method, which has to be 0, that unpacks to no more than the bound."""
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], MOST_PROFILE_BYTES)
    except zlib.error:
        return False
    return packed[:1] == b"\0" and not unpacker.unconsumed_tail
