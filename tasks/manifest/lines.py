"""Lines of text, safely: bounded in length, decoded one by one, each bad one named and skipped."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tasks.core.records import Problem
from tasks.core.text import locate_byte

LINE_BYTES = 1024 * 1024
"""A longer line is not a row that anybody wrote; it is skipped without being held in memory."""


_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
_BLANK = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")
"""Fillers that fonts draw as nothing."""


CONVERT = (
    "convert the file to UTF-8, or say --encoding (cp1252 of Windows, mac_roman of Excel on a Mac, cp1251, shift_jis)"
)


def is_visible(text: str) -> bool:
    """True if a text holds anything to see: not only spaces, zero-width and control characters."""
    return any(unicodedata.category(char) not in _INVISIBLE and char not in _BLANK for char in text)


def read_lines(path: Path, file: str) -> Iterator[tuple[int, str | Problem]]:
    """The lines of a UTF-8 file with their numbers, line ends kept; a line that cannot be read is a problem."""
    with path.open("rb") as stream:
        number = 0
        # Bounded: a file without line ends would come as one string of gigabytes.
        while raw := stream.readline(LINE_BYTES):
            number += 1
            if len(raw) == LINE_BYTES and not raw.endswith(b"\n") and _skip_line(stream):
                yield number, Problem(file, number, None, f"is longer than {LINE_BYTES} bytes; is it one row?")
                continue
            # Also on later lines: files that were put one behind the other bring their marks along.
            yield number, _decode(raw.removeprefix(codecs.BOM_UTF8), file, number)


def _skip_line(stream: BinaryIO) -> bool:
    """Read on to the end of the line; False when the file ends right here."""
    skipped = 0
    while part := stream.readline(LINE_BYTES):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped > 0


def _decode(raw: bytes, file: str, number: int) -> str | Problem:
    if b"\0" in raw:
        return Problem(
            file,
            number,
            None,
            f"holds a NUL byte (byte {raw.index(0) + 1} of the line); is it text? If it is UTF-16, say --encoding utf-16-le",
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        return Problem(
            file,
            number,
            None,
            f"is not UTF-8 ({locate_byte(raw, exc.start)[1]}); {CONVERT}",
        )
