"""Where a manifest comes from: a file, several, an address, or standard input; and its files while it is open."""

from __future__ import annotations

import glob
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from tasks.core.errors import ManifestError
from tasks.core.paths import has_ledger
from tasks.core.records import Problem
from tasks.core.text import format_command
from tasks.manifest.detect import EXTENSIONS, TEXT_FORMATS, detect_format
from tasks.manifest.plain_copy import UnreadableCopy, decode, get_unpacked_name, unpack
from tasks.manifest.reading import ReadOptions
from tasks.manifest.remote import fetch, is_remote

STDIN = "-"
STDIN_DISPLAY = "<stdin>"
NAMELESS = "manifest"
"""Name of a manifest that is called `..csv`: an output folder `runs/.` would be that of all batches."""
SNIFFED_BYTES = 64 * 1024
MOST_FILES = 10_000
MOST_ENTRIES = 100_000
"""Of a folder and all below it."""
LATIN_FORMATS = frozenset({"csv", "tsv"})
"""Formats that spreadsheets write in Windows-1252."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file of a manifest, plain and readable."""

    path: Path
    """Where its bytes are: the file itself, or a copy that was fetched, unpacked or decoded."""
    display: str
    """As the user gave it; stands in every message."""
    format: str
    """A key of `FORMATS`."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that can be read, as often as needed, while it is open."""

    files: tuple[ManifestFile, ...]
    """In the order in which they are read; mostly one."""
    name: str
    """Names the default output folder."""
    display: str
    """As the user gave it."""
    source: str
    """Return the source that opens this manifest again, also while it is open."""
    options: ReadOptions = field(default_factory=ReadOptions)
    notes: tuple[str, ...] = ()
    """Notes for the user about how its files were found and decoded."""

    @property
    def path(self) -> Path:
        """Where the bytes of its first file are."""
        return self.files[0].path

    @property
    def format(self) -> str:
        """The format of its first file."""
        return self.files[0].format


_open: ContextVar[Mapping[str, Manifest]] = ContextVar("open_manifests", default=MappingProxyType({}))
"""Manifests of the blocks around, by source: whoever opens one again inside gets the same bytes, fetched once."""


def get_base_folder(display: str) -> Path:
    """The folder to which paths in a file of a manifest are relative: its own, else the current one."""
    return Path() if display == STDIN_DISPLAY or is_remote(display) else Path(display).expanduser().parent


@contextmanager
def open_manifest(
    source: str, *, options: ReadOptions | None = None, stdin: BinaryIO | None = None
) -> Iterator[Manifest]:
    """The manifest for the duration of the block.

    Args:
        source: A file, a folder or pattern of part files, an address (https, s3, gs, hf), or `-` for standard input.
        options: How its columns and text are read.
        stdin: In place of standard input.

    Raises:
        ManifestError: It cannot be read, or its format is not known. Nothing was written.
    """
    options = options or ReadOptions()
    if (known := _open.get().get(source)) is not None:
        yield replace(known, options=options)
        return
    with tempfile.TemporaryDirectory(prefix="imagen-") as folder:
        manifest = _open_source(source, options, Path(folder), stdin)
        token = _open.set({**_open.get(), manifest.source: manifest})
        try:
            yield manifest
        finally:
            _open.reset(token)


def _open_source(source: str, options: ReadOptions, folder: Path, stdin: BinaryIO | None) -> Manifest:
    if source == STDIN:
        if stdin is None and sys.stdin is None:
            raise _refuse(STDIN_DISPLAY, "cannot be read (standard input is closed)")
        spool = folder / "stdin"
        with spool.open("wb") as file:
            shutil.copyfileobj(stdin or sys.stdin.buffer, file)
        opened, its_notes = _open_file(spool, STDIN_DISPLAY, None, options, folder)
        return Manifest((opened,), "stdin", STDIN_DISPLAY, str(spool), options, its_notes)
    if is_remote(source):
        found = [(path, display) for path, display in _fetch(source, folder)]
    else:
        found = [(path, str(path) if path != Path(source) else source) for path in _find_files(source)]
    files: list[ManifestFile] = []
    notes: list[str] = []
    for number, (path, display) in enumerate(found):
        place = folder / str(number)
        place.mkdir()
        opened, its_notes = _open_file(path, display, _get_named_format(path, display), options, place)
        files.append(opened)
        notes += its_notes
    if len(files) > 1:
        notes.insert(
            0, f"{source}: read as one table of {len(files)} files, from {files[0].display} to {files[-1].display}"
        )
    return Manifest(tuple(files), _name_batch(source), source, source, options, tuple(notes))


def _fetch(source: str, folder: Path) -> list[tuple[Path, str]]:
    try:
        return fetch(source, folder)
    except (OSError, ValueError) as exc:
        raise _refuse(source, str(exc)) from None


def _name_batch(source: str) -> str:
    """Return the batch name of this manifest."""
    plain = re.split(r"[?#]", source)[0] if is_remote(source) else source
    stem = Path(get_unpacked_name(Path(plain.rstrip("/")).name)).stem
    stem = re.sub(r"[*?\[\]]+", "", stem)
    return stem if stem.strip(".") else NAMELESS


def _find_files(source: str) -> list[Path]:
    """The files that a path or a pattern means, in the order of their names."""
    path = Path(source)
    try:
        path = path.expanduser() if source.startswith("~") else path
        if path.is_dir():
            return _list_folder(path, source)
        if path.is_fifo():
            raise _refuse(source, "is a pipe, which can be read only once; send it to standard input and write -")
        if not path.exists() and glob.has_magic(source):
            return _check_parts(sorted(Path(name) for name in glob.iglob(str(path), recursive=True)), source)  # noqa: PTH207  a pattern may begin anywhere
        with path.open("rb"):
            return [path]
    except FileNotFoundError:
        raise _refuse(source, f"cannot be read (No such file or directory){_suggest(source)}") from None
    except (OSError, RuntimeError, ValueError) as exc:
        raise _refuse(source, f"cannot be read ({getattr(exc, 'strerror', None) or exc})") from None


def _list_folder(folder: Path, source: str) -> list[Path]:
    if has_ledger(folder):
        table = folder / "metadata.parquet"
        raise _refuse(source, f"is the output folder of a batch; `{format_command('run', table)}` reads its table")
    found = list(islice(folder.rglob("*"), MOST_ENTRIES + 1))
    if len(found) > MOST_ENTRIES:
        raise _refuse(source, f"holds more than {MOST_ENTRIES:,} files; name the folder of the manifest itself")
    return _check_parts(sorted(path for path in found if not _is_hidden(path.relative_to(folder))), source)


def _is_hidden(path: Path) -> bool:
    """True if it is a mark or a log that other programs leave beside part files."""
    return any(part.startswith((".", "_")) for part in path.parts)


def _check_parts(found: list[Path], source: str) -> list[Path]:
    parts = [path for path in found if path.is_file() and _get_format(path.name) not in {None, "text"}]
    parts = parts or [path for path in found if path.is_file() and path.suffix.lower() == ".txt"]
    if not parts:
        raise _refuse(source, f"holds no manifest; its files would end in one of {' '.join(EXTENSIONS)}")
    if len(parts) > MOST_FILES:
        raise _refuse(source, f"holds {len(parts):,} files; at most {MOST_FILES:,} are read as one manifest")
    if len(kinds := sorted({str(_get_format(path.name)) for path in parts})) > 1:
        raise _refuse(
            source,
            f"holds files of several kinds ({', '.join(kinds)}); name those of one, as '{source.rstrip('/')}/*.csv'",
        )
    return parts


def _suggest(source: str) -> str:
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source) and not _get_format(source):
        return f"; a data set of Hugging Face is written hf://datasets/{source}"
    return ""


def _get_format(name: str) -> str | None:
    return EXTENSIONS.get(Path(get_unpacked_name(name)).suffix.lower())


def _get_named_format(path: Path, display: str) -> str:
    if (named := _get_format(path.name)) is None:
        raise _refuse(display, f"is not a kind of manifest; its name has to end in one of {' '.join(EXTENSIONS)}")
    return named


def _open_file(
    path: Path, display: str, named: str | None, options: ReadOptions, folder: Path
) -> tuple[ManifestFile, tuple[str, ...]]:
    """A file as it can be read, and what there is to tell about it."""
    try:
        path = unpack(path, folder)
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
        kind = detect_format(head, named)
        if kind not in TEXT_FORMATS:
            return ManifestFile(path, display, kind), ()
        # What is sniffed may be in another encoding, so it is looked at again when it is decoded.
        copy = decode(path, folder, encoding=options.encoding, may_be_latin=kind in LATIN_FORMATS)
        if copy.path != path:
            with copy.path.open("rb") as file:
                kind = detect_format(file.read(SNIFFED_BYTES), named)
    except UnreadableCopy as exc:
        raise _refuse(display, str(exc)) from None
    except OSError as exc:
        raise _refuse(display, f"cannot be read ({exc.strerror or exc})") from None
    return ManifestFile(copy.path, display, kind), () if copy.note is None else (f"{display}: {copy.note}",)


def _refuse(source: str, message: str) -> ManifestError:
    return ManifestError([Problem(source, None, None, message)], 1)
