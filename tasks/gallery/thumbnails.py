"""Small pictures for the grid: WebP, made once for each picture and kept under its sha256."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from PIL import Image, ImageOps, UnidentifiedImageError

from tasks.atomic_files import replacing
from tasks.encode import EXTENSIONS
from tasks.store import MAX_IMAGE_PIXELS

FOLDER = "thumbnails"
SIDE_PX = 512
"""The longer side: sharp at the grid's usual size on a screen of double density."""
QUALITY = 80

Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS  # what was stored can be shown
_FORMATS = tuple(name.upper() for name in EXTENSIONS)
_MODES = {"L": "L", "LA": "RGBA", "PA": "RGBA", "RGBA": "RGBA"}


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is to see of a job that succeeded."""

    thumbnail: str | None
    """Path relative to the folder of thumbnails, with forward slashes."""
    trouble: str | None
    """Why there is no picture to see, for people."""
    made: bool
    """Whether its thumbnail was made just now."""


class Thumbnails:
    """The thumbnails of one output folder; use it as a context, its threads end with it."""

    def __init__(self, out: Path, folder: Path) -> None:
        """Start the threads: decoding and encoding are Pillow's C code, which lets others run meanwhile."""
        self._out, self._folder = out, folder
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="thumbnails")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def of_page(
        self, page: Sequence[Mapping[str, Any]], on_each: Callable[[], None] = lambda: None
    ) -> list[Picture | None]:
        """The pictures of a page of the ledger's `jobs`, in its order; None for a job without one.

        Raises:
            OSError: A thumbnail could not be written.
        """

        async def one(job: Mapping[str, Any]) -> Picture | None:
            picture = None
            if job["file_name"]:
                loop = asyncio.get_running_loop()
                picture = await loop.run_in_executor(self._pool, self._picture, job["file_name"], job["sha256"])
            on_each()
            return picture

        return await asyncio.gather(*(one(job) for job in page))

    def _picture(self, file_name: str, sha256: str) -> Picture:
        source, name = self._out / file_name, f"{sha256[:2]}/{sha256}.webp"
        if not source.is_file():
            return Picture(None, "the file is missing", made=False)
        if (self._folder / name).is_file():
            return Picture(name, None, made=False)
        try:
            small = _reduced(source)
        except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
            return Picture(None, f"the file cannot be read: {exc}", made=False)
        with replacing(self._folder / name) as path:
            small.save(path, "WEBP", quality=QUALITY, icc_profile=small.info.get("icc_profile"))
        return Picture(name, None, made=True)


def _reduced(source: Path) -> Image.Image:
    with Image.open(source, formats=_FORMATS) as image:
        image.draft("RGB", (SIDE_PX, SIDE_PX))  # a JPEG is decoded at a fraction of its size
        upright = ImageOps.exif_transpose(image)
        profile = upright.info.get("icc_profile")
        mode = "RGBA" if "transparency" in upright.info else _MODES.get(upright.mode, "RGB")
        small = upright.convert(mode)
        small.thumbnail((SIDE_PX, SIDE_PX))
        small.info = {"icc_profile": profile} if upright.mode == small.mode and profile else {}
        return small


def remove_unused(folder: Path, used: Iterable[str]) -> int:
    """Remove what an earlier gallery wrote below `folder` and this one does not show.

    Args:
        folder: A folder that only a gallery writes to.
        used: Paths relative to it that stay, with forward slashes.

    Returns:
        How many files were removed.
    """
    kept = {folder / name for name in used}
    unused = [path for path in folder.rglob("*") if path.is_file() and path not in kept]
    for path in unused:
        path.unlink(missing_ok=True)
    return len(unused)
