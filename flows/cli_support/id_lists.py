"""Lists of images that a command takes with `--ids`: a file, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from tasks.core.errors import InputError

MOST_CHARACTERS = 100_000_000
"""Of a list: a million job ids are 65 MB."""


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
            # Notepad and PowerShell begin a file with a mark, which is no part of the first id.
            with Path(source).open(encoding="utf-8-sig") as file:
                text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{source}: cannot be read ({getattr(exc, 'strerror', None) or exc})") from None
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"{source}: has more than {MOST_CHARACTERS:,} characters; a list of ids is shorter")
    return read_ids(text.removeprefix("\ufeff").splitlines())
