"""Columns of text that line up, for standard output."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()) -> str:
    """Columns to the left, `numbers` (by their header, which is the first line) to the right, two spaces between."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    right = [name in numbers for name in lines[0]]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )
