"""Lists of images that a command takes with `--ids`: a file, or standard input."""

from __future__ import annotations

import codecs
import re
import sys
from pathlib import Path

from tasks.core.errors import InputError

MOST_CHARACTERS = 100_000_000
"""Of a list: a million job ids are 65 MB."""
LINE_END = re.compile(r"\r\n?|\n")


def read_id_list(source: str) -> list[str]:
    """The names in a list, one on each line, without doubles.

    Args:
        source: A path; `-` is standard input.

    Raises:
        InputError: It cannot be read, is no text in UTF-8, or is too long.
    """
    from tasks.report.review.judging import read_ids

    try:
        if source == "-":
            text = sys.stdin.read(MOST_CHARACTERS + 1)
        else:
            with Path(source).open("rb") as file:
                text = _decode(file.read(MOST_CHARACTERS + 1))
        # Standard input gives bytes that are no text as half characters, which no database takes.
        text.encode()
    except (OSError, UnicodeError) as exc:
        raise InputError(f"{source}: cannot be read ({getattr(exc, 'strerror', None) or 'no text in UTF-8'})") from None
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"{source}: has more than {MOST_CHARACTERS:,} characters; a list of ids is shorter")
    # Not `splitlines`: an id may hold other characters that end a line for it, such as U+2028.
    return read_ids(LINE_END.split(text.removeprefix("\ufeff")))


def _decode(data: bytes) -> str:
    # Notepad and PowerShell begin a file with a mark; PowerShell 5 writes UTF-16.
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if marked else "utf-8")
