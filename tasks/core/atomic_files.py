"""Files that are final or absent: a temporary name, fsync, rename.

Takes a path and its bytes (or a block that writes them), gives the whole file under its own name, or leaves
what was there before. Errors of the disk pass through as `OSError`; what they mean for a batch is decided
by the caller.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TEMPORARY = re.compile(r"\.imagen-[0-9a-f]{16}\.tmp")


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`, replacing what is there; on disk when this returns. Makes parent folders.

    Raises:
        OSError: It could not be written; `path` is as it was, and no temporary file is left.
    """
    # `x` refuses a link that somebody put there under this name.
    with _open_temporary(path) as temporary, temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` for the block to write; it becomes `path` when the block succeeds.

    Makes parent folders. When the block fails, `path` is as it was and no temporary file is left.

    Raises:
        OSError: The folder, the file or the rename failed.
    """
    with _open_temporary(path) as temporary:
        yield temporary
        _sync_file(temporary)


@contextmanager
def link_atomically(path: Path, source: Path) -> Iterator[Path]:
    """As `replace_atomically`, but the temporary name is another name of the file `source`: a hard link.

    Raises:
        OSError: The link, the folder or the rename failed. Another disk and another owner's file take no link.
    """
    _make_folder(path.parent)
    temporary = make_temporary_name(path.parent)
    os.link(source, temporary)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        # Renaming one name of a file over another name of it does nothing, and leaves both.
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextmanager
def replace_folder_atomically(path: Path) -> Iterator[Path]:
    """A new folder beside `path` for the block to fill with files and folders; it becomes `path` when the block succeeds.

    Makes parent folders. A folder that was there goes when the new one is whole; when the block fails, it stays.

    Raises:
        OSError: A folder, a file or a rename failed.
    """
    if path.is_symlink():
        path = path.resolve()  # the folder behind it is replaced, not the way to it
    _make_folder(path.parent)
    fresh, old = (path.parent / f".imagen-{secrets.token_hex(8)}.tmp" for _ in range(2))
    fresh.mkdir()
    try:
        yield fresh
        # From below: a folder's entry is safe once what it names is.
        for folder, _, names in os.walk(fresh, topdown=False):
            for name in names:
                _sync_file(Path(folder, name))
            _sync_folder(Path(folder))
        # A folder cannot be renamed over one with files in it, as a file can.
        if path.exists():
            path.rename(old)
        fresh.rename(path)
    finally:
        # Between the two renames: the old folder goes back.
        if old.exists() and not path.exists():
            old.rename(path)
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)
    _sync_folder(path.parent)


@contextmanager
def _open_temporary(path: Path) -> Iterator[Path]:
    """As `replacing`, but the block has the file on disk before it ends."""
    _make_folder(path.parent)
    temporary = make_temporary_name(path.parent)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        # The first error is the one to report; what cannot be removed now, `remove_leftovers` takes later.
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def make_temporary_name(folder: Path) -> Path:
    """A name in `folder` that nobody has; a file of that name is one for `remove_leftovers`."""
    # It does not contain the final name: a long one would become too long.
    return folder / f".imagen-{secrets.token_hex(8)}.tmp"


def remove_leftovers(folder: Path) -> int:
    """Remove the temporary files that a killed run left in `folder` and below; nothing else is touched.

    Only for the one run that holds the folder: a living writer's temporary file would be taken from it.

    Returns:
        How many there were; 0 for a folder that does not exist.

    Raises:
        OSError: One of them cannot be removed.
    """
    removed = 0
    for parent, _, names in os.walk(folder):
        for name in filter(_TEMPORARY.fullmatch, names):
            with suppress(FileNotFoundError):  # its writer renamed it meanwhile
                Path(parent, name).unlink()
                removed += 1
    return removed


def _make_folder(folder: Path) -> None:
    """Make the folder so that it is still there after a power cut, like the file that goes into it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows has no handle of a folder that could be synced
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
