"""Small images for the grid: WebP, made once for each image and kept under its sha256."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from typing import Any

from PIL import Image

from tasks.core.errors import BadImage, UnreadableFile
from tasks.store.images import DECODER_ERRORS, open_image, turn_upright
from tasks.store.output import NewFile, Output, is_contained

FOLDER = "gallery/thumbnails"
SIDE_PX = 512
"""The longer side: sharp at the grid's usual size on a screen of double density."""
# WebP's usual quality; at this size the difference to the original is not seen.
QUALITY = 80
GAP_PX = 8
"""Between the images of a contact sheet."""
IN_HAND = 8
"""Images at a time where there are fewer processors: most of the time of one in a bucket is its way. Bounds memory."""

_DAMAGED = (UnreadableFile, BadImage, *DECODER_ERRORS)
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Modes that WebP can hold; everything else becomes colours.
_MODES = {"L": "L", "LA": "RGBA", "PA": "RGBA", "RGBA": "RGBA"}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The thumbnail of a job that succeeded, or the reason why there is none."""

    thumbnail: str | None
    """Path relative to the folder of thumbnails, with forward slashes."""
    trouble: str | None
    """Why there is no image to see, for people."""
    made: bool
    """True if its thumbnail was made just now."""


CHANGED = "the file is not the one that was made: it was changed afterwards"
FOREIGN = Thumbnail(None, "the ledger names no file of this folder", made=False)
MISSING = Thumbnail(None, "the file is missing", made=False)


class Thumbnails:
    """The thumbnails of one output."""

    def __init__(self, out: Output, *, sizes: Mapping[str, int], made: Iterable[str]) -> None:
        """Read from the output and write into it.

        Args:
            out: Where the batch's files lie.
            sizes: Bytes of the files that were there a moment ago, by name; a running batch adds more.
            made: Names of what is below `FOLDER`, likewise.
        """
        self._out, self._sizes, self._made = out, sizes, set(made)
        # Decoding is Pillow's C code, so as many run at once as there are processors.
        self._in_hand = asyncio.Semaphore(max(IN_HAND, os.cpu_count() or 1))

    async def make_page(
        self, page: Sequence[Mapping[str, Any]], on_each: Callable[[], None] = lambda: None
    ) -> list[Thumbnail | None]:
        """The thumbnails of a page of the ledger's `jobs`, in its order; None for a job without an image.

        Raises:
            BatchStopped: A thumbnail could not be written.
            OutputError: The storage cannot be reached.
        """

        async def make(job: Mapping[str, Any]) -> Thumbnail | None:
            async with self._in_hand:
                image = await self._find_or_make(job) if job["file_name"] else None
            on_each()
            return image

        return await asyncio.gather(*(make(job) for job in page))

    async def _find_or_make(self, job: Mapping[str, Any]) -> Thumbnail:
        file_name, sha256 = job["file_name"], str(job["sha256"])
        # A ledger may name a file outside of the folder, or a digest that is none.
        if not is_contained(file_name) or not _SHA256.fullmatch(sha256):
            return FOREIGN
        # The size and the digest of the file are the same, so its thumbnail still fits.
        if self._sizes.get(file_name) == job["bytes"] and _get_stored_name(sha256) in self._made:
            return Thumbnail(_get_name(sha256), None, made=False)
        # The image may have been removed or changed since it was made, and the page says so.
        try:
            return await self._make(file_name, sha256)
        except FileNotFoundError:
            return MISSING
        except _DAMAGED as exc:
            return Thumbnail(None, f"the file cannot be read: {exc}", made=False)

    async def _make(self, file_name: str, sha256: str) -> Thumbnail:
        """Look at the file itself: it may be another one than the ledger tells of."""
        data, actual = await asyncio.to_thread(_read_hashed, self._out, file_name)
        trouble = None if actual == sha256 else CHANGED
        stored = _get_stored_name(actual)
        # The file is the one that was made before under another name.
        if stored in self._made:
            return Thumbnail(_get_name(actual), trouble, made=False)
        # Shrinking and encoding happen in a thread; Pillow's C code lets others run meanwhile.
        await self._out.write(lambda: NewFile(stored, encode_thumbnail(data)))
        self._made.add(stored)
        return Thumbnail(_get_name(actual), trouble, made=True)


def _get_name(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}.webp"


def _get_stored_name(sha256: str) -> str:
    return f"{FOLDER}/{_get_name(sha256)}"


def _read_hashed(out: Output, file_name: str) -> tuple[bytes, str]:
    """An image's bytes and their sha256.

    Raises:
        FileNotFoundError: There is no file.
    """
    if (data := out.read(file_name)) is None:
        raise FileNotFoundError
    return data, hashlib.sha256(data).hexdigest()


def encode_thumbnail(data: bytes, *, side_px: int = SIDE_PX) -> bytes:
    """Encode a small WebP of an image.

    Raises:
        BadImage: It cannot be decoded; errors of `DECODER_ERRORS` mean the same.
    """
    small, file = _reduce(data, side_px), BytesIO()
    small.save(file, "WEBP", quality=QUALITY, icc_profile=small.info.get("icc_profile"))
    return file.getvalue()


def draw_contact_sheet(images: Sequence[bytes], *, side_px: int, columns: int) -> bytes:
    """Draw images side by side as one WebP, each within a square; transparent where there is nothing.

    Raises:
        BadImage: One cannot be decoded; errors of `DECODER_ERRORS` mean the same.
    """
    step_px, rows = side_px + GAP_PX, ceil(len(images) / columns)
    size = (min(columns, len(images)) * step_px - GAP_PX, rows * step_px - GAP_PX)
    sheet, file = Image.new("RGBA", size), BytesIO()
    for number, data in enumerate(images):
        small = _reduce(data, side_px).convert("RGBA")
        row, column = divmod(number, columns)
        left = column * step_px + (side_px - small.width) // 2
        sheet.paste(small, (left, row * step_px + (side_px - small.height) // 2))
    sheet.save(file, "WEBP", quality=QUALITY)
    return file.getvalue()


def _reduce(data: bytes, side_px: int) -> Image.Image:
    with open_image(data) as image:
        image.draft("RGB", (side_px, side_px))  # a JPEG is decoded at a fraction of its size
        image.load()  # some formats tell their mode only now
        profile = image.info.get("icc_profile")
        mode = "RGBA" if "transparency" in image.info else _MODES.get(image.mode, "RGB")
        is_converted = image.mode != mode
        small = image.convert(mode) if is_converted else image
        # Shrunk before anything copies it: each copy of the whole image is megabytes.
        small.thumbnail((side_px, side_px))
        # Cameras write the direction into the file; browsers turn the image, and the thumbnail must too.
        small = turn_upright(small)
        # A profile of the original would be wrong for a converted image.
        small.info = {"icc_profile": profile} if profile and not is_converted else {}
        return small
