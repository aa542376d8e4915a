"""Small images for the grid: WebP, made once for each image and kept under its sha256."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from PIL import Image, ImageOps

from tasks.core.errors import UnreadableFile
from tasks.store.encode import EXTENSIONS
from tasks.store.images import DECODER_ERRORS, MAX_IMAGE_PIXELS
from tasks.store.output import NewFile, Output

FOLDER = "gallery/thumbnails"
SIDE_PX = 512
"""The longer side: sharp at the grid's usual size on a screen of double density."""
QUALITY = 80
IN_HAND = 8
"""Images at a time where there are fewer processors: most of the time of one in a bucket is its way. Bounds memory."""

Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS  # what was stored can be shown
_FORMATS = tuple(name.upper() for name in EXTENSIONS)
_DAMAGED = (UnreadableFile, Image.DecompressionBombError, *DECODER_ERRORS)
_MODES = {"L": "L", "LA": "RGBA", "PA": "RGBA", "RGBA": "RGBA"}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """What there is to see of a job that succeeded."""

    thumbnail: str | None
    """Path relative to the folder of thumbnails, with forward slashes."""
    trouble: str | None
    """Why there is no image to see, for people."""
    made: bool
    """Whether its thumbnail was made just now."""


MISSING = Thumbnail(None, "the file is missing", made=False)


class Thumbnails:
    """The thumbnails of one output."""

    def __init__(self, out: Output, *, images: AbstractSet[str], made: Iterable[str]) -> None:
        """Read from the output and write into it.

        Args:
            out: Where the batch's files lie.
            images: Names of files that were there a moment ago; a running batch adds more.
            made: Names of what is below `FOLDER`, likewise.
        """
        self._out, self._images, self._made = out, images, set(made)
        self._in_hand = asyncio.Semaphore(max(IN_HAND, os.cpu_count() or 1))

    async def of_page(
        self, page: Sequence[Mapping[str, Any]], on_each: Callable[[], None] = lambda: None
    ) -> list[Thumbnail | None]:
        """The images of a page of the ledger's `jobs`, in its order; None for a job without one.

        Raises:
            BatchStopped: A thumbnail could not be written.
            OutputError: The storage cannot be reached.
        """

        async def one(job: Mapping[str, Any]) -> Thumbnail | None:
            async with self._in_hand:
                image = await self._image(job["file_name"], job["sha256"]) if job["file_name"] else None
            on_each()
            return image

        return await asyncio.gather(*(one(job) for job in page))

    async def _image(self, file_name: str, sha256: str) -> Thumbnail:
        name = f"{sha256[:2]}/{sha256}.webp"
        stored = f"{FOLDER}/{name}"
        is_made = stored in self._made
        if is_made and file_name in self._images:
            return Thumbnail(name, None, made=False)
        if is_made:
            there = await asyncio.to_thread(self._out.has, file_name)
            return Thumbnail(name, None, made=False) if there else MISSING
        try:
            # Reading, shrinking and encoding happen in a thread; Pillow's C code lets others run meanwhile.
            await self._out.write(lambda: NewFile(stored, _encode_thumbnail(self._out.read(file_name))))
        except FileNotFoundError:
            return MISSING
        except _DAMAGED as exc:
            return Thumbnail(None, f"the file cannot be read: {exc}", made=False)
        self._made.add(stored)
        return Thumbnail(name, None, made=True)


def _encode_thumbnail(data: bytes | None) -> bytes:
    """The thumbnail of an image's file.

    Raises:
        FileNotFoundError: There is no file.
    """
    if data is None:
        raise FileNotFoundError
    small, file = _reduce(BytesIO(data)), BytesIO()
    small.save(file, "WEBP", quality=QUALITY, icc_profile=small.info.get("icc_profile"))
    return file.getvalue()


def _reduce(source: BinaryIO) -> Image.Image:
    with Image.open(source, formats=_FORMATS) as image:
        image.draft("RGB", (SIDE_PX, SIDE_PX))  # a JPEG is decoded at a fraction of its size
        upright = _turn_upright(image)
        profile = upright.info.get("icc_profile")
        mode = "RGBA" if "transparency" in upright.info else _MODES.get(upright.mode, "RGB")
        small = upright.convert(mode)
        small.thumbnail((SIDE_PX, SIDE_PX))
        small.info = {"icc_profile": profile} if upright.mode == small.mode and profile else {}
        return small


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:  # damaged Exif hides no image; damaged pixels are met again
        return image
