"""Values as users write them and services send them: backend names, JSON, and bounded numbers, counts and ids."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any

from tasks.core.errors import InputError

MOST_JOBS = 1_000_000_000
"""Of one command; more than a batch has, and a number that every database takes."""
MOST_BEST = 1_000
"""Images of one row that may be kept; a row has at most so many samples."""
MOST_REROLLS = 20
"""Further tries for one rejected image; each is paid for."""
YES = frozenset({"true", "1", "yes", "on"})
DEEPEST = 64
"""Levels of one cell: what is deeper could be read here, but not where less of the stack is free."""
MOST_CARRIED_CHARS = 2 * 1024**2
"""Of a row's other columns and options: spelled as JSON they stay below the longest text of a ledger."""
LONGEST_IDENTIFIER = 512
"""Characters of an id or a version; the ledger and its look-ups compare them."""


def is_yes(text: str | None) -> bool:
    """True where an environment variable's text switches something on; None is an unset one."""
    return (text or "").strip().lower() in YES


def parse_backend_names(value: Any) -> tuple[str, ...]:
    """`a`, `a, b` or a list of names as a tuple without repetitions.

    Raises:
        ValueError: It names none, or is neither text nor a list of texts.
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("is not the name of a backend, nor a list of names; write a, or [a, b] to try b where a fails")
    # A fallback to itself would pay the same refusal twice.
    names = tuple(dict.fromkeys(part.strip() for part in parts))
    if not names or not all(names):
        raise ValueError("names no backend; write a, or [a, b] to try b where a fails")
    return names


def parse_backend_option(given: str | None) -> tuple[str, ...]:
    """The names of `--backend`; none where it is not given.

    Raises:
        InputError: It names none.
    """
    if given is None:
        return ()
    try:
        return parse_backend_names(given)
    except ValueError as exc:
        raise InputError(f"--backend {exc}") from None


def find_json_problem(value: Any) -> str | None:
    """Why a value cannot be sent as JSON; None where it can."""
    # Names in order, as the identity of a job spells them: that fails where numbers stand beside texts.
    return _find_depth_problem(value) or _find_json_failure(value, allow_nan=False, sort_keys=True)


def find_carrying_problem(value: Any) -> str | None:
    """Why a value cannot be carried along; a number or a date that JSON does not have can."""
    if isinstance(value, str | int | float | None):
        return None
    return _find_depth_problem(value) or _find_json_failure(value, default=str)


def find_weight_problem(parts: Iterable[Any]) -> str | None:
    """Why what a row carries beside its prompt cannot be kept in a ledger; None where it can."""
    weight = sum(_count_characters(part) for part in parts if part)  # most rows carry nothing
    if weight <= MOST_CARRIED_CHARS:
        return None
    return f"carries {weight:,} characters beside its prompt, and {MOST_CARRIED_CHARS:,} are kept; leave columns out"


def _count_characters(value: Any) -> int:
    """Characters of all texts inside; the values were checked before, so none is nested without end."""
    if isinstance(value, str):
        return len(value)
    own = sum(map(_count_characters, value)) if isinstance(value, dict) else 0
    return own + sum(map(_count_characters, _list_inside(value)))


def _find_depth_problem(value: Any) -> str | None:
    # Level by level, not recursive: the depth is what is in doubt.
    parts: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        if not (parts := [inner for part in parts for inner in _list_inside(part)]):
            return None
    return f"it is nested deeper than {DEEPEST} levels"


def _list_inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _find_json_failure(value: Any, **spelling: Any) -> str | None:
    try:
        # Encoded too: a lone surrogate passes `dumps` and breaks the request.
        json.dumps(value, ensure_ascii=False, **spelling).encode()
    except (TypeError, ValueError) as exc:
        return str(exc)
    return None


def parse_number(value: Any, *, most: float) -> float | None:
    """A finite number from 0 to `most`; None for everything else, `true` and texts included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The comparison comes first: float() of an int of 400 digits overflows.
    return float(value) if 0 <= value <= most and isfinite(value) else None


def parse_count(value: Any, *, most: int) -> int | None:
    """A whole number from 0 to `most`, also written as 4.0; None for everything else."""
    number = parse_number(value, most=most)
    # JSON of some services has no integers.
    return None if number is None or number != int(number) else int(number)


def parse_identifier(value: Any) -> str | None:
    """An id or a version as text; None for what no database, address or screen takes.

    A whole number becomes its digits. Half characters, control characters and texts that are empty or too long are none.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30 else value
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_IDENTIFIER or not text.isprintable():
        return None
    return text
