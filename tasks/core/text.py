"""Text for people: commands that can be pasted into a shell, counted nouns, columns that line up."""

from __future__ import annotations

import codecs
import shlex
from collections.abc import Sequence

from tasks.core.safe_text import escape_control_characters


def format_command(*words: object) -> str:
    """`imagen` with these words, quoted where they need it."""
    return shlex.join(["imagen", *map(str, words)])


def format_count(number: int, noun: str) -> str:
    """`1 row`, `2 rows`, `1,000 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


TO_UTF_8 = "iconv -f cp1252 -t utf-8"
"""The start of a command that converts a file of Windows."""


def locate_byte(data: bytes, at: int) -> tuple[int, str]:
    """The line of a byte that is not UTF-8, and the byte with its column in words; both count from 1, columns in characters."""
    before = data[:at].removeprefix(codecs.BOM_UTF8)
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    return before.count(b"\n") + 1, f"byte 0x{data[at]:02x} in column {column}"


def align_columns(lines: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()) -> str:
    """Columns with two spaces between them; control characters in cells are shown as codes.

    Args:
        lines: Rows of cells; the first one is the header.
        numbers: Names of the header whose columns are aligned to the right.
    """
    # Before the widths are measured: an escaped cell is longer.
    lines = [[escape_control_characters(cell) for cell in line] for line in lines]
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    right = [name in numbers for name in lines[0]]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )
