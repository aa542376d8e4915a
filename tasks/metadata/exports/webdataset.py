"""Tar shards as WebDataset reads them: the members of one sample side by side under one key.

A sample is the image under its true extension, `.json` with everything known about it, and `.txt` with its prompt.
The same batch gives the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from tasks.metadata.columns import build_plain_row
from tasks.metadata.exports.images import ExportedImage, iterate_images
from tasks.metadata.exports.selection import SelectedJobs
from tasks.metadata.exports.targets import get_shard_name
from tasks.store.output import Output

BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """When the next shard begins."""

    samples: int = 10_000
    bytes: int = 1_000_000_000


async def write_shards(jobs: SelectedJobs, out: Output, folder: Path, limits: ShardLimits) -> int:
    """Fill an empty folder with shards; gives the number of images.

    Raises:
        OutputError: An image of the batch is not there.
    """
    samples = 0
    with Shards(folder, limits) as shards:
        async with aclosing(iterate_images(jobs, out)) as found:
            async for image in found:
                shards.add(image)
                samples += 1
    return samples


class Shards:
    """Writes samples into one shard after the other."""

    def __init__(self, folder: Path, limits: ShardLimits) -> None:
        """Write into `folder`, which is empty."""
        self._folder = folder
        self._limits = limits
        self._number = -1
        self._samples = self._bytes = 0
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> Self:
        """Write samples in the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the last shard."""
        if self._tar is not None:
            self._tar.close()

    def add(self, image: ExportedImage) -> None:
        """Write one sample, all of it in one shard."""
        members = build_members(image)
        # As tar stores it: a header each, and the content padded to whole blocks.
        size = sum(BLOCK + -(-len(data) // BLOCK) * BLOCK for data in members.values())
        tar = self._shard_for(size)
        for name, data in members.items():
            tar.addfile(_build_header(name, len(data)), io.BytesIO(data))
        self._samples += 1
        self._bytes += size

    def _shard_for(self, size: int) -> tarfile.TarFile:
        full = self._samples >= self._limits.samples or self._bytes + size > self._limits.bytes
        # One sample at least: an image beyond the limit gets a shard of its own.
        if self._tar is None or (full and self._samples):
            if self._tar is not None:
                self._tar.close()
            self._number += 1
            self._samples = self._bytes = 0
            path = self._folder / get_shard_name(self._number)
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  closed when it is full
        return self._tar


def build_members(image: ExportedImage) -> dict[str, bytes]:
    """The files of a sample by their names. The key ends at the first dot, so it has none."""
    path = PurePosixPath(image.row["file_name"])
    key = path.stem.replace(".", "_")
    return {
        f"{key}{path.suffix}": image.data,
        f"{key}.json": _build_json(image),
        f"{key}.txt": image.row["prompt"].encode(),
    }


def _build_json(image: ExportedImage) -> bytes:
    """Build the JSON without nulls: a loader that guesses types from the first samples stumbles over a null there."""
    known = {name: value for name, value in build_plain_row(image.row).items() if value is not None}
    return json.dumps(known, ensure_ascii=False).encode()


def _build_header(name: str, size: int) -> tarfile.TarInfo:
    """A member that tells nothing of this machine or of now."""
    info = tarfile.TarInfo(name)
    # Fixed, so that equal batches give equal shards and an upload is skipped.
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info
