"""Files that are not plain UTF-8 text yet: unpacked, decoded, and written as a copy that every reader can read.

Takes a file, gives it back as it is, or a copy in a folder of the caller: gzip and the like are unpacked, UTF-16 (with
or without its mark), a byte order mark that stands twice, lines that end in a bare return, and Windows-1252 where the
text can be nothing else, become UTF-8. Lines keep their numbers.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CHUNK_BYTES = 1024 * 1024
MOST_UNPACKED_BYTES = 4 * 1024**3
"""Of an unpacked manifest: a few kilobytes can unpack to all of a disk."""
LATIN = "cp1252"
PACKED_SUFFIXES = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz")

_POINTER = b"version https://git-lfs.github.com/spec/"
"""First bytes of the text that a Git working tree holds in place of a file that was not downloaded."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF8_PART = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# What Western text has beyond ASCII in Windows-1252: letters beside letters, and typographic signs (quotes, dashes,
# dots, euro, degree, fractions). Runs of other bytes are another alphabet, or no text.
_SMALL = rb"[\xdf-\xf6\xf8-\xff\x9a\x9c\x9e]"
_LETTERS = rb"[\xc0-\xd6\xd8-\xf6\xf8-\xff\x8a\x8c\x8e\x9a\x9c\x9e]"
_SIGNS = rb"[\x80\x82\x84\x85\x91-\x97\x99\xa0\xa3\xa7\xa9\xab\xae\xb0-\xb5\xb7\xb9-\xbe\xd7]"
# Capitals stand at the start of a word or among capitals: Mac Roman has small letters where Windows-1252 has some.
_LATIN_PART = re.compile(
    rb"(?<=[A-Za-z])" + _SMALL + rb"{1,2}(?!" + _LETTERS + rb")"
    rb"|(?<=[A-Z])" + _LETTERS + rb"{1,2}(?![a-z]|" + _LETTERS + rb")"
    rb"|(?<![A-Za-z])(?<!" + _LETTERS + rb")" + _LETTERS + rb"{1,2}(?=[A-Za-z])"
    rb"|(?<=[A-Za-z\xc0-\xff] )" + _LETTERS + rb"(?= [A-Za-z\xc0-\xff])"
    rb"|" + _SIGNS
)
_HIGH = re.compile(rb"[\x80-\xff]")


class UnreadableCopy(Exception):
    """Raised when a file cannot be unpacked or decoded; the text says what to do."""


@dataclass(frozen=True, slots=True)
class PlainCopy:
    """A file as it can be read."""

    path: Path
    note: str | None = None
    """Notes for the user about how it was read."""


def get_unpacked_name(name: str) -> str:
    """The name without the ending of a compression."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot + suffix.lower() in PACKED_SUFFIXES else name


def unpack(path: Path, folder: Path) -> Path:
    """The file, or its unpacked copy in `folder` where its first bytes are those of a compression.

    Raises:
        UnreadableCopy: It is damaged, was not downloaded, or unpacks to more than `MOST_UNPACKED_BYTES`.
    """
    with path.open("rb") as file:
        # By its first bytes, because a name may keep or lose its ending on the way.
        head = file.read(len(_POINTER))
    if head.startswith(_POINTER):
        raise UnreadableCopy("is a pointer of Git LFS, not the file itself; run `git lfs pull` first")
    opener = next((opener for magic, opener in _PACKED.items() if head.startswith(magic)), None)
    if opener is None:
        return path
    copy = folder / f"unpacked-{get_unpacked_name(path.name)}"
    try:
        with opener(path) as plain, copy.open("wb") as target:
            copy_bounded(plain, target)
    except (EOFError, OSError, ValueError, lzma.LZMAError) as exc:
        raise UnreadableCopy(f"cannot be unpacked ({str(exc) or type(exc).__name__}); was it loaded whole?") from None
    return copy


def decode(path: Path, folder: Path, *, encoding: str | None, may_be_latin: bool) -> PlainCopy:
    """The file where it is UTF-8 (or where its bad lines are to be named), else its copy in UTF-8.

    Args:
        path: A text file.
        folder: Takes the copy.
        encoding: As the user names it; None: found out.
        may_be_latin: Text that is not UTF-8 may be Windows-1252, as spreadsheets write it.

    Raises:
        UnreadableCopy: It is not in the encoding that it is said, or marked, to be in.
    """
    with path.open("rb") as file:
        head = file.read(4_096)
    known = encoding or _find_marked(head) or _find_unmarked_utf16(head)
    # The user's word, then a mark, then the pattern of zeros.
    if known is not None and codecs.lookup(known).name != "utf-8":
        return PlainCopy(_recode(path, folder, known))
    has_return, is_damaged, is_latin = _survey(path)
    # Only spreadsheets write it; in a text file the same bytes are more likely damage.
    if is_damaged and may_be_latin and encoding is None and is_latin:
        example = _find_latin_line(path)
        return PlainCopy(
            _recode(path, folder, LATIN),
            f"is not UTF-8 and was read as Windows-1252 ({example}); say --encoding if that is wrong",
        )
    if has_return or head.startswith(codecs.BOM_UTF8 * 2):
        # Bad bytes go through as they are: the reader names the lines that hold them.
        return PlainCopy(_recode(path, folder, "utf-8", errors="surrogateescape"))
    return PlainCopy(path)


def _find_marked(head: bytes) -> str | None:
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def _find_unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 without its mark: in Western text every second byte is zero."""
    pairs = len(head) // 2
    if pairs < 2:  # noqa: PLR2004  too short to tell
        return None
    low, high = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if high > pairs * 0.4 and not low:
        return "utf-16-le"
    return "utf-16-be" if low > pairs * 0.4 and not high else None


def _survey(path: Path) -> tuple[bool, bool, bool]:
    """True if lines end in bare returns, bytes are no UTF-8, and all of these could be Windows-1252."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    feeds = returns = damaged = False
    is_latin = True
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            chunk += file.readline(CHUNK_BYTES)  # no character is cut at the end of a line
            feeds |= b"\n" in chunk
            returns |= b"\r" in chunk
            if chunk.isascii():
                continue
            if not damaged:
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError:
                    damaged = True
            # Where one part is UTF-8, the rest is damage and not another encoding.
            is_latin = is_latin and not _UTF8_PART.search(chunk) and not _HIGH.search(_LATIN_PART.sub(b"", chunk))
    return returns and not feeds, damaged, is_latin


def _find_latin_line(path: Path) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(CHUNK_BYTES), b""), start=1):
            if found := _HIGH.search(line):
                around = line[max(0, found.start() - 12) : found.end() + 12].decode(LATIN, "replace")
                return f"line {number}: {' '.join(around.split())!r}"
    return "no line"


def _recode(path: Path, folder: Path, encoding: str, *, errors: str = "strict") -> Path:
    copy = folder / f"decoded-{path.name}"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    first, held = True, ""
    try:
        with path.open("rb") as source, copy.open("wb") as target:
            while True:
                chunk = source.read(CHUNK_BYTES)
                text = held + decoder.decode(chunk, final=not chunk)
                # A return at the end may be half of a line end.
                held = "\r" if chunk and text.endswith("\r") else ""
                text = text.removesuffix("\r") if held else text
                if first and text:
                    text, first = text.lstrip("\ufeff"), False
                target.write(text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", errors))
                if not chunk:
                    return copy
    except UnicodeError as exc:
        raise UnreadableCopy(
            f"is not {encoding.upper()} text ({exc.reason if isinstance(exc, UnicodeDecodeError) else exc})"
        ) from None


def copy_bounded(source: BinaryIO, target: BinaryIO) -> None:
    """Copy a stream to its end.

    Raises:
        UnreadableCopy: It goes on beyond `MOST_UNPACKED_BYTES`.
    """
    written = 0
    while chunk := source.read(CHUNK_BYTES):
        # Counted while unpacking: the size in a header is the file's own claim.
        written += len(chunk)
        if written > MOST_UNPACKED_BYTES:
            raise UnreadableCopy(f"holds more than {MOST_UNPACKED_BYTES // 2**30} GiB; is it a manifest?")
        target.write(chunk)


def _open_zstd(path: Path) -> Any:
    import pyarrow as pa  # noqa: PLC0415  takes a while to load, and few manifests are packed so

    return pa.input_stream(str(path), compression="zstd")


_PACKED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\x28\xb5\x2f\xfd": _open_zstd,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""By the first bytes."""
