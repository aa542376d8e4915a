"""The source of a manifest: a file, several, an address, or standard input; and its files while it is open."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from tasks.core.addresses import hide_secrets
from tasks.core.safe_text import os_error_text
from tasks.core.temporary_folder import TemporaryFolder
from tasks.manifest.detect import EXTENSIONS, TEXT_FORMATS, detect_format, get_named_format
from tasks.manifest.part_files import find_files, refuse_source
from tasks.manifest.plain_copy import UnreadableCopy, copy_bounded, decode, get_unpacked_name, unpack
from tasks.manifest.reading import ReadOptions
from tasks.manifest.remote import fetch, is_remote

STDIN = "-"
STDIN_DISPLAY = "<stdin>"
NAMELESS = "manifest"
"""Name of a manifest that is called `..csv`: an output folder `runs/.` would be that of all batches."""
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".7z", ".rar"})
SNIFFED_BYTES = 64 * 1024
LATIN_FORMATS = frozenset({"csv", "tsv"})
"""Formats that spreadsheets write in Windows-1252."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file of a manifest, plain and readable."""

    path: Path
    """The place of its bytes: the file itself, or a copy that was fetched, unpacked or decoded."""
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
    """Opens this manifest again while it is open; an address without its secrets does so only then."""
    options: ReadOptions = field(default_factory=ReadOptions)
    notes: tuple[str, ...] = ()
    """Notes for the user about how its files were found and decoded."""

    @property
    def path(self) -> Path:
        """The place of its first file's bytes."""
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
        options: The reading of its columns and text.
        stdin: In place of standard input.

    Raises:
        ManifestError: It cannot be read, or its format is not known. Nothing was written.
    """
    options = options or ReadOptions()
    # The plan that was shown and the one that is paid for must come from the same bytes.
    if (known := _open.get().get(source)) is not None:
        yield replace(known, options=options)
        return
    with TemporaryFolder() as folder:
        manifest = _open_source(source, options, Path(folder), stdin)
        # Known by its source while it is open: standard input and a download cannot be read again.
        token = _open.set({**_open.get(), source: manifest, manifest.source: manifest})
        try:
            yield manifest
        finally:
            _open.reset(token)


def _open_source(source: str, options: ReadOptions, folder: Path, stdin: BinaryIO | None) -> Manifest:
    if source == STDIN:
        if stdin is None and sys.stdin is None:
            raise refuse_source(STDIN_DISPLAY, "cannot be read (standard input is closed)")
        # Read more than once, so it is kept on disk.
        spool = folder / "stdin"
        try:
            with spool.open("wb") as file:
                copy_bounded(stdin or sys.stdin.buffer, file)
        except UnreadableCopy as exc:
            raise refuse_source(STDIN_DISPLAY, str(exc)) from None
        opened, its_notes = _open_file(spool, STDIN_DISPLAY, None, options, folder)
        return Manifest((opened,), "stdin", STDIN_DISPLAY, str(spool), options, its_notes)
    shown = source
    if is_remote(source):
        found, shown = _fetch(source, folder), hide_secrets(source)
    else:
        found = [(path, str(path) if path != Path(source) else source) for path in find_files(source)]
    files: list[ManifestFile] = []
    notes: list[str] = []
    for number, (path, display) in enumerate(found):
        # A folder each: parts of different folders may share a name.
        place = folder / str(number)
        place.mkdir()
        opened, its_notes = _open_file(path, display, _require_format(path, display), options, place)
        files.append(opened)
        notes += its_notes
    if len(files) > 1:
        notes.insert(
            0, f"{shown}: read as one table of {len(files)} files, from {files[0].display} to {files[-1].display}"
        )
    return Manifest(tuple(files), _name_batch(source), shown, shown, options, tuple(notes))


def _fetch(source: str, folder: Path) -> list[tuple[Path, str]]:
    try:
        return fetch(source, folder)
    except (OSError, ValueError) as exc:
        raise refuse_source(hide_secrets(source), str(exc)) from None


def _name_batch(source: str) -> str:
    """Name the batch after its manifest."""
    plain = re.split(r"[?#]", source)[0] if is_remote(source) else source
    stem = Path(get_unpacked_name(Path(plain.rstrip("/")).name)).stem
    stem = re.sub(r"[*?\[\]]+", "", stem)
    return stem if stem.strip(".") else NAMELESS


def _require_format(path: Path, display: str) -> str:
    if (named := get_named_format(path.name)) is None:
        if path.suffix.lower() in ARCHIVES:
            raise refuse_source(display, "is an archive of files; unpack it, and name the file or folder of prompts")
        raise refuse_source(display, f"is not a kind of manifest; its name has to end in one of {' '.join(EXTENSIONS)}")
    return named


def _refuse_zeros(head: bytes) -> None:
    # A file that was never written whole; one of gigabytes would be read to its end for its first line.
    if head and not head.strip(b"\0"):
        raise UnreadableCopy("begins with nothing but zero bytes, so it was not written or copied whole; restore it")


def _open_file(
    path: Path, display: str, named: str | None, options: ReadOptions, folder: Path
) -> tuple[ManifestFile, tuple[str, ...]]:
    """A file as it can be read, and what there is to tell about it."""
    try:
        path = unpack(path, folder)
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
        _refuse_zeros(head)
        kind = detect_format(head, named)
        if kind not in TEXT_FORMATS:
            return ManifestFile(path, display, kind), ()  # not text: nothing to decode
        # What is sniffed may be in another encoding, so it is looked at again when it is decoded.
        copy = decode(path, folder, encoding=options.encoding, may_be_latin=kind in LATIN_FORMATS)
        if copy.path != path:
            with copy.path.open("rb") as file:
                kind = detect_format(file.read(SNIFFED_BYTES), named)
    except UnreadableCopy as exc:
        raise refuse_source(display, str(exc)) from None
    except OSError as exc:
        raise refuse_source(display, f"cannot be read ({os_error_text(exc)})") from None
    return ManifestFile(copy.path, display, kind), () if copy.note is None else (f"{display}: {copy.note}",)
