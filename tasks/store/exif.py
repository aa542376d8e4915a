"""Orientation of an image by its Exif data, read without a library: any damage means that there is none."""

from __future__ import annotations

from typing import Literal

_ORIENTATION = 0x0112
_QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""Orientations that exchange width and height."""
_ENTRY_BYTES = 12
_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}


def is_turned(exif: bytes) -> bool:
    """True if viewers show the image with its sides exchanged.

    Args:
        exif: A TIFF header and its directories; the six bytes that precede them in a JPEG may be there.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = _ORDERS.get(tiff[:4])
    if order is None:
        return False
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    # Up to the end of the data: a hostile count must cost nothing.
    for place in range(start + 2, min(start + 2 + count * _ENTRY_BYTES, len(tiff)), _ENTRY_BYTES):
        if int.from_bytes(tiff[place : place + 2], order) == _ORIENTATION:
            return int.from_bytes(tiff[place + 8 : place + 10], order) in _QUARTER_TURNS
    return False
