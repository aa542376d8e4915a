"""Values that somebody else sends: bounded here, once, before anything is computed, stored or shown."""

from __future__ import annotations

from math import isfinite
from typing import Any

LONGEST_IDENTIFIER = 512
"""Characters of an id or a version; the ledger and its look-ups compare them."""


def parse_number(value: Any, *, most: float) -> float | None:
    """A finite number from 0 to `most`; None for everything else, `true` and texts included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The comparison comes first: float() of an int of 400 digits overflows.
    return float(value) if 0 <= value <= most and isfinite(value) else None


def parse_count(value: Any, *, most: int) -> int | None:
    """A whole number from 0 to `most`, also written as 4.0; None for everything else."""
    number = parse_number(value, most=most)
    return None if number is None or number != int(number) else int(number)


def parse_identifier(value: Any) -> str | None:
    """An id or a version as text; None for what no database, address or screen takes.

    A whole number becomes its digits. Half characters, control characters and texts that are empty or too long are none.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30 else value
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_IDENTIFIER or not text.isprintable():
        return None
    return text
