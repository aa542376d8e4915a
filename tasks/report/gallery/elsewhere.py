"""A gallery outside its batch, for batches that only may be read: another user's, a snapshot, a read-only mount."""

from __future__ import annotations

from pathlib import Path

from tasks.core.errors import InputError, OutputError
from tasks.ledger.database.location import require_ledger
from tasks.store.output import Output
from tasks.store.output.base import IMAGES
from tasks.store.output.folder import OutputFolder


def link_batch(batch: Output, target: str) -> Output:
    """A folder for the gallery, with a link to the images of the batch.

    Raises:
        InputError: The batch is in a bucket, or there is none.
        OutputError: The folder cannot be made, or holds other images.
    """
    if not isinstance(batch, OutputFolder):
        raise InputError(f"{batch}: --to is for batches in folders. Copy this one, and write its gallery there.")
    require_ledger(batch.home)
    link, images = Path(target, IMAGES), batch.home.resolve() / IMAGES
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            # A link and not a copy: the images are many gigabytes, and the batch may only be read.
            link.symlink_to(images, target_is_directory=True)
    except OSError as exc:
        raise OutputError(f"{target}: cannot be written ({exc.strerror}). Choose another --to.") from None
    # Seen through the link: a folder that holds another batch's images would show the wrong ones.
    if link.resolve() != images.resolve():
        raise OutputError(f"{target}: holds the gallery of another batch. Choose another --to.")
    return OutputFolder(target)
