"""The files that a path, a folder or a pattern means; a manifest may be in several parts."""

from __future__ import annotations

import glob
import re
from itertools import islice
from pathlib import Path

from tasks.core.errors import ManifestError
from tasks.core.paths import has_ledger
from tasks.core.records import Problem
from tasks.core.safe_text import os_error_text
from tasks.core.text import format_command
from tasks.manifest.detect import EXTENSIONS, get_named_format

MOST_FILES = 10_000
MOST_ENTRIES = 100_000
"""Of a folder and all below it."""


def find_files(source: str) -> list[Path]:
    """The files that a path or a pattern means, in the order of their names.

    Raises:
        ManifestError: There is none, it cannot be read, or it is a pipe or a device.
    """
    path = Path(source)
    try:
        path = path.expanduser() if source.startswith("~") else path
        if path.is_dir():
            return _list_folder(path, source)
        # It is read more than once: to check it, and again to plan it.
        if path.is_fifo():
            raise refuse_source(source, "is a pipe, which can be read only once; send it to standard input and write -")
        if path.exists() and not path.is_file():
            raise refuse_source(source, "is a device or a socket, not a file")
        # A file whose own name has brackets comes first.
        if not path.exists() and glob.has_magic(source):
            return _check_parts(sorted(Path(name) for name in glob.iglob(str(path), recursive=True)), source)  # noqa: PTH207  a pattern may begin anywhere
        # Opened now: permission is a problem of the source, not of its first row.
        with path.open("rb"):
            return [path]
    except FileNotFoundError:
        raise refuse_source(source, f"cannot be read (No such file or directory){_suggest(source)}") from None
    except (OSError, RuntimeError, ValueError) as exc:
        raise refuse_source(
            source, f"cannot be read ({os_error_text(exc) if isinstance(exc, OSError) else exc})"
        ) from None


def _list_folder(folder: Path, source: str) -> list[Path]:
    # Its table would be read as a manifest, together with whatever else lies there.
    if has_ledger(folder):
        table = folder / "metadata.parquet"
        raise refuse_source(
            source, f"is the output folder of a batch; `{format_command('run', table)}` reads its table"
        )
    # Bounded: somebody may name a home folder by mistake.
    found = list(islice(folder.rglob("*"), MOST_ENTRIES + 1))
    if len(found) > MOST_ENTRIES:
        raise refuse_source(source, f"holds more than {MOST_ENTRIES:,} files; name the folder of the manifest itself")
    return _check_parts(sorted(path for path in found if not _is_hidden(path.relative_to(folder))), source)


def _is_hidden(path: Path) -> bool:
    """True if it is a mark or a log that other programs leave beside part files."""
    return any(part.startswith((".", "_")) for part in path.parts)


def _check_parts(found: list[Path], source: str) -> list[Path]:
    parts = [path for path in found if path.is_file() and get_named_format(path.name) not in {None, "text"}]
    # Text files only where nothing else is: they are mostly licences and notes.
    parts = parts or [path for path in found if path.is_file() and path.suffix.lower() == ".txt"]
    if not parts:
        raise refuse_source(source, f"holds no manifest; its files would end in one of {' '.join(EXTENSIONS)}")
    if len(parts) > MOST_FILES:
        raise refuse_source(source, f"holds {len(parts):,} files; at most {MOST_FILES:,} are read as one manifest")
    # Mixed kinds are more likely leftovers than one manifest, and every row would be paid for.
    if len(kinds := sorted({str(get_named_format(path.name)) for path in parts})) > 1:
        raise refuse_source(
            source,
            f"holds files of several kinds ({', '.join(kinds)}); name those of one, as '{source.rstrip('/')}/*.csv'",
        )
    return parts


def _suggest(source: str) -> str:
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source) and not get_named_format(source):
        return f"; a data set of Hugging Face is written hf://datasets/{source}"
    return ""


def refuse_source(source: str, message: str) -> ManifestError:
    """Build the error for a source that cannot be read."""
    return ManifestError([Problem(source, None, None, message)], 1)
