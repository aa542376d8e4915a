"""Where a manifest comes from, and which format it has: by its extension, or sniffed on standard input."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tasks.core.errors import ManifestError
from tasks.core.records import Problem
from tasks.manifest.columns import PROMPT_NAMES

STDIN = "-"
STDIN_DISPLAY = "<stdin>"
NAMELESS = "manifest"
"""Name of a manifest that is called `..csv`: an output folder `runs/.` would be that of all batches."""
SNIFFED_BYTES = 64 * 1024

FORMATS = {
    "yaml": "tasks.manifest.yaml_rows",
    "jsonl": "tasks.manifest.text_rows",
    "json": "tasks.manifest.text_rows",
    "csv": "tasks.manifest.text_rows",
    "tsv": "tasks.manifest.text_rows",
    "text": "tasks.manifest.text_rows",
    "parquet": "tasks.manifest.parquet_rows",
}
"""The module that reads each format; loaded when a manifest of it is read."""

EXTENSIONS = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that can be read, as often as needed."""

    path: Path
    """Where its bytes are; for standard input a temporary file."""
    name: str
    """Names the default output folder."""
    display: str
    """As the user gave it; stands in every message."""
    format: str
    """A key of `FORMATS`."""

    @property
    def base(self) -> Path:
        """The folder to which paths in it are relative; for standard input the current one."""
        return Path() if self.display == STDIN_DISPLAY else self.path.parent


@contextmanager
def open_manifest(source: str, *, stdin: BinaryIO | None = None) -> Iterator[Manifest]:
    """The manifest for the duration of the block; `-` is standard input, kept in a temporary file.

    Raises:
        ManifestError: It cannot be read, or its format is not known. Nothing was written.
    """
    if source == STDIN:
        if stdin is None and sys.stdin is None:
            raise _refused(STDIN_DISPLAY, "cannot be read (standard input is closed)")
        with tempfile.TemporaryDirectory(prefix="imagen-") as folder:
            yield _spooled(Path(folder), stdin or sys.stdin.buffer)
        return
    path = Path(source)
    if path.suffix.lower() not in EXTENSIONS:
        known = " ".join(EXTENSIONS)
        raise _refused(source, f"is not a kind of manifest; its name has to end in one of {known}")
    try:
        if path.is_fifo():
            raise _refused(source, "is a pipe, which can be read only once; send it to standard input and write -")
        with path.open("rb"):
            pass
    except OSError as exc:
        raise _refused(source, f"cannot be read ({exc.strerror})") from None
    name = path.stem if path.stem.strip(".") else NAMELESS
    yield Manifest(path, name, source, EXTENSIONS[path.suffix.lower()])


def _refused(source: str, message: str) -> ManifestError:
    return ManifestError([Problem(source, None, None, message)], 1)


def _spooled(folder: Path, stdin: BinaryIO) -> Manifest:
    spool = folder / "stdin"
    with spool.open("wb") as file:
        shutil.copyfileobj(stdin, file)
    with spool.open("rb") as file:
        kind = _sniff(file.read(SNIFFED_BYTES))
    suffix = next(suffix for suffix, format_ in EXTENSIONS.items() if format_ == kind)
    return Manifest(spool.rename(spool.with_suffix(suffix)), "stdin", STDIN_DISPLAY, kind)


def _sniff(head: bytes) -> str:
    """The format that the start of a stream looks like; plain text when in doubt."""
    if head.startswith(b"PAR1"):
        return "parquet"
    text = head.decode("utf-8-sig", "replace")
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    first = next(lines, "").strip("\r\n")
    if first.lstrip().startswith("{"):
        return "jsonl"
    if first.lstrip().startswith("["):
        return "json"
    if re.match(r"(---|%YAML|-)(\s|$)|[\"']?(defaults|template|matrix|prompts)[\"']?\s*:", first):
        return "yaml"
    for delimiter, kind in (("\t", "tsv"), (",", "csv")):
        if delimiter in first and PROMPT_NAMES & {cell.strip(' "') for cell in first.split(delimiter)}:
            return kind
    return "text"
