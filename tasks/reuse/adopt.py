"""One image of another batch as a file of this one: a hard link where that is possible, else a copy. Checked either way."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tasks.core.atomic_files import link_atomically
from tasks.core.configuration.sections import OutputSettings
from tasks.core.errors import BadImage, UnreadableFile
from tasks.core.records import Job, StoredImage
from tasks.core.safe_text import os_error_text
from tasks.reuse.notes import find_other_notes
from tasks.store.disk import stop_when_full
from tasks.store.embedding.embed import find_provenance
from tasks.store.encode import EXTENSIONS
from tasks.store.images import CheckedImage, build_image_path, measure
from tasks.store.output import Output
from tasks.store.output.folder import OutputFolder

MOST_BYTES = 64 * 1024 * 1024
"""Of one image; a run stores no larger one."""
# Another disk, another owner, a file system without links, or one with all the links that it takes.
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A file as the ledger of its batch describes it."""

    file_name: str
    sha256: str
    bytes: int
    format: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """An image that was brought over."""

    image: StoredImage
    other_notes: tuple[str, ...]
    """See `find_other_notes`."""


async def adopt_image(
    source: Output, recorded: Recorded, out: Output, job: Job, *, settings: OutputSettings
) -> Adopted:
    """Bring the image into `out` as that of `job`; safe there when this returns, and free to repeat.

    A link and never a shortcut: the image stays when its source is deleted.

    Raises:
        UnreadableFile: The file is gone, damaged, leads out of its batch, or is not what its ledger says.
        BatchStopped: It cannot be written here (`disk`, `storage`). Nothing is lost.
    """
    if recorded.format not in EXTENSIONS or not 0 < recorded.bytes <= MOST_BYTES:
        raise UnreadableFile(f"{source}: {recorded.file_name!r} is no image that a run stores")
    name = build_image_path(job, recorded.format)
    if isinstance(source, OutputFolder):
        if (path := source.find_file(recorded.file_name, size=recorded.bytes)) is None:
            raise UnreadableFile(f"{source}: {recorded.file_name!r} is gone or has another size")
        if isinstance(out, OutputFolder):
            linked = await asyncio.to_thread(_link, path, recorded, out, name, settings)
            if linked is not None:
                return linked
        data = await asyncio.to_thread(_read, path)
    else:
        data = await asyncio.to_thread(_fetch, source, recorded.file_name)
    adopted = await asyncio.to_thread(_prove, data, recorded, name, settings)
    await out.write(partial(CheckedImage, name, data, adopted.image))
    return adopted


def _link(path: Path, recorded: Recorded, out: OutputFolder, name: str, settings: OutputSettings) -> Adopted | None:
    """Link and check the file; None where this disk takes no link of it."""
    out.check_in_place()
    try:
        with link_atomically(out.home / name, path) as linked:
            # The file under the new name is checked: the old name may mean another one by now.
            return _prove(_read(linked), recorded, name, settings)
    except OSError as exc:
        if exc.errno in _NO_LINK:
            return None
        # Its batch is deleted at this moment: nothing is wrong with this folder.
        if not path.exists():
            raise UnreadableFile(f"{recorded.file_name!r} is gone") from None
        with stop_when_full(out):
            raise


def _fetch(source: Output, name: str) -> bytes:
    # Nothing there is no image either, and told as such.
    return source.read(name) or b""


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # One byte more than can be right: a file that grows is not read without end.
            return file.read(MOST_BYTES + 1)
    except OSError as exc:
        raise UnreadableFile(f"{path}: cannot be read ({os_error_text(exc)})") from None


def _prove(data: bytes, recorded: Recorded, name: str, settings: OutputSettings) -> Adopted:
    """Measure the bytes, which must be those of the ledger and a whole image."""
    if len(data) != recorded.bytes or hashlib.sha256(data).hexdigest() != recorded.sha256:
        raise UnreadableFile(f"{recorded.file_name!r} is not what its ledger says")
    try:
        found = measure(data, verify=settings.verify)
    except BadImage as exc:
        raise UnreadableFile(f"{recorded.file_name!r}: {exc}") from None
    if found.format != recorded.format:
        raise UnreadableFile(f"{recorded.file_name!r} is {found.format}, and its ledger says {recorded.format}")
    image = StoredImage(
        file_name=name,
        width=found.width,
        height=found.height,
        format=found.format,
        bytes=len(data),
        sha256=recorded.sha256,
        provenance=find_provenance(data),
    )
    return Adopted(image, find_other_notes(data, image, settings))
