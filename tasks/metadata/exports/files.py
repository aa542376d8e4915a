"""Image files under names of the user's choice, and an index beside them.

The index is `metadata.jsonl`, the table with the new names, so that `datasets` opens the folder. It also tells an
earlier export, which may be replaced, from anybody else's folder.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import OutputError
from tasks.core.paths import LEDGER_NAME, POINTER_NAME
from tasks.metadata.columns import build_plain_row
from tasks.metadata.exports.conversion import Conversion
from tasks.metadata.exports.convert import convert_image
from tasks.metadata.exports.images import ExportedImage, iterate_images
from tasks.metadata.exports.selection import SelectedJobs
from tasks.store.output import Output

INDEX_NAME = "metadata.jsonl"
MOST_LINE_BYTES = 10_000_000
"""Of an index; a row is far smaller."""


@dataclass(slots=True)
class WrittenFiles:
    """Counts of an export of files."""

    images: int = 0
    files: int = 0
    lost_signatures: int = 0
    """Files without the C2PA signature that their image has."""


async def write_files(
    jobs: SelectedJobs, out: Output, folder: Path, names: Mapping[str, Sequence[str]], conversion: Conversion
) -> WrittenFiles:
    """Fill an empty folder with the files of the images.

    Args:
        jobs: Those with a name, all of which have an image.
        out: Where the images are.
        folder: Where to.
        names: Paths below the folder, one for each size, by job_id.
        conversion: Sizes and format.

    Raises:
        OutputError: An image of the batch is not there, or cannot be converted.
    """
    written = WrittenFiles()
    with (folder / INDEX_NAME).open("w", encoding="utf-8", newline="") as index:
        async with aclosing(iterate_images(jobs, out)) as found:
            async for image in found:
                written.images += 1
                for name, size in zip(names[image.row["job_id"]], conversion.variants, strict=True):
                    # In threads: a large image takes a second to encode.
                    facts, lost = await asyncio.to_thread(_write_file, folder / name, image, size, conversion)
                    row = build_plain_row(image.row) | facts | {"file_name": name}
                    index.write(json.dumps(row, ensure_ascii=False) + "\n")
                    written.files += 1
                    written.lost_signatures += lost
    return written


def _write_file(
    path: Path, image: ExportedImage, size: int | None, conversion: Conversion
) -> tuple[dict[str, Any], bool]:
    converted = convert_image(image, size, conversion)
    _write(path, converted.data)
    return converted.facts, converted.lost_signature


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # `x`: names were held against each other, but a file system may have rules of its own.
    with path.open("xb") as file:
        file.write(data)


def refuse_batch_folder(target: Path) -> None:
    """Pass for a folder outside of every batch.

    Raises:
        OutputError: It is in a batch's folder, which `datasets` could not open any more.
    """
    for folder in (target.resolve(), *target.resolve().parents):
        if any((folder / name).exists() for name in (LEDGER_NAME, POINTER_NAME)):
            raise OutputError(f"{target}: is in the folder of a batch ({folder}); name a folder outside of it for --to")


def find_stranger(folder: Path) -> str | None:
    """The first file that is not of an earlier export into this folder; None where all are."""
    known = _read_index(folder / INDEX_NAME)
    for parent, below, files in os.walk(folder):
        below.sort()
        links = [name for name in below if Path(parent, name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(parent, name).relative_to(folder).as_posix()
            if path not in known:
                return path
    return None


def _read_index(path: Path) -> set[str]:
    """The files that an index tells of, and itself; none where it is not one of ours."""
    names = {INDEX_NAME}
    try:
        with path.open("rb") as file:
            while line := file.readline(MOST_LINE_BYTES):
                row = json.loads(line)
                # Any data set may have a file of this name; ours has the job of each image.
                if not row["job_id"]:
                    return set()
                names.add(row["file_name"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return set()
    return names
