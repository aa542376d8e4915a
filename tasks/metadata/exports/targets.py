"""Checks of an export's target: nothing that exists is replaced unasked, and no batch is broken.

Takes the path that the user named, passes or says what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from tasks.core.atomic_files import replace_atomically, replace_folder_atomically
from tasks.core.errors import OutputError
from tasks.core.paths import LEDGER_NAME, POINTER_NAME

CARD_NAME = "README.md"
TABLE_NAME = "metadata.parquet"
TABLE_ENDINGS = (".csv", ".jsonl", ".parquet")
_SHARD = re.compile(r"shard-\d{6,}\.tar")
_METADATA = re.compile(r"metadata\.(csv|jsonl|parquet)")


class ExportFormat(StrEnum):
    """Formats of `imagen export --format`."""

    WEBDATASET = "webdataset"
    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    CARD = "card"
    FILES = "files"
    GENEVAL = "geneval"
    T2I_COMPBENCH = "t2i-compbench"
    DPG = "dpg"
    WISE = "wise"
    TIFA = "tifa"
    HPSV2 = "hpsv2"


def get_shard_name(number: int) -> str:
    """The name of a shard's file."""
    return f"shard-{number:06d}.tar"


@contextmanager
def create_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary name for the block to write; it becomes `target` when the block succeeds, else nothing is left.

    Raises:
        OutputError: The target exists and may not be replaced, would hide a batch's table, or cannot be written.
    """
    with _explain_errors(target):
        if target.is_dir():
            raise OutputError(f"{target}: is a folder; name a file for --to")
        # `datasets` refuses a folder with two tables, and the batch could not be opened any more.
        if _METADATA.fullmatch(target.name) and (target.parent / TABLE_NAME).exists():
            raise OutputError(
                f"{target}: a folder of images may have one metadata.* only, and the batch has its own; "
                f"choose another name, as table{target.suffix}"
            )
        _refuse_batch_files(target)
        require_replaceable(target, exists=target.exists(), overwrite=overwrite)
        with replace_atomically(target) as path:
            yield path


def _refuse_batch_files(target: Path) -> None:
    # By the ending: a name such as `ledger.db-journal` would break a batch even where no such file is yet.
    if all(place.suffix.lower() in TABLE_ENDINGS for place in (target, target.resolve())):
        return
    for folder in (*target.absolute().parents, *target.resolve().parents):
        if any((folder / name).exists() for name in (LEDGER_NAME, POINTER_NAME)):
            raise OutputError(
                f"{target}: is in the folder of a batch ({folder}), where a table ends in {', '.join(TABLE_ENDINGS)}; "
                "choose another name"
            )


def require_replaceable(target: object, *, exists: bool, overwrite: bool) -> None:
    """Pass when nothing is there, or when it may be replaced.

    Raises:
        OutputError: Something is there.
    """
    if exists and not overwrite:
        raise OutputError(f"{target}: exists already; --overwrite replaces it")


@contextmanager
def create_folder(
    target: Path, *, overwrite: bool, find_stranger: Callable[[Path], str | None] | None = None
) -> Iterator[Path]:
    """A temporary folder for the block to fill; it becomes `target` when the block succeeds, else nothing is left.

    Args:
        target: The folder.
        overwrite: Replace an earlier export.
        find_stranger: Finds a file in the folder that is not of an earlier export; None: as for shards.

    Raises:
        OutputError: The target holds something and may not be replaced, or cannot be written.
    """
    with _explain_errors(target):
        if target.exists() and not target.is_dir():
            raise OutputError(f"{target}: is a file; name a folder for --to")
        # Said by itself, because the general answer would call the ledger a stranger's file.
        if (target / LEDGER_NAME).exists():
            raise OutputError(f"{target}: is the output folder of a batch; name a new folder, as {target / 'shards'}")
        holds_files = target.is_dir() and any(target.iterdir())
        # The folder is replaced as a whole, so files of anybody else's would go with it.
        if holds_files and (stranger := (find_stranger or _find_other_than_shards)(target)):
            raise OutputError(f"{target}: holds files that are no export ({stranger}); name a new or an empty folder")
        if holds_files and not overwrite:
            raise OutputError(f"{target}: holds files already; --overwrite replaces an earlier export")
        with replace_folder_atomically(target) as path:
            yield path


def _find_other_than_shards(folder: Path) -> str | None:
    names = sorted(path.name for path in folder.iterdir())
    return next((name for name in names if not _SHARD.fullmatch(name) and name != CARD_NAME), None)


@contextmanager
def _explain_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError(f"{target}: cannot be written ({exc.strerror or exc}); nothing of it was left") from exc
