"""Values inside values: which options and other columns can be kept, and sent, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

DEEPEST = 64
"""Levels of one cell: what is deeper could be read here, but not where less of the stack is free."""


def json_trouble(value: Any) -> str | None:
    """Why a value cannot be sent as JSON; None where it can."""
    # Names in order, as the identity of a job spells them: that fails where numbers stand beside texts.
    return _too_deep(value) or _failure(value, allow_nan=False, sort_keys=True)


def carrying_trouble(value: Any) -> str | None:
    """Why a value cannot be carried along; a number or a date that JSON does not have can."""
    if isinstance(value, str | int | float | None):
        return None
    return _too_deep(value) or _failure(value, default=str)


def _too_deep(value: Any) -> str | None:
    parts: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        if not (parts := [inner for part in parts for inner in _inside(part)]):
            return None
    return f"it is nested deeper than {DEEPEST} levels"


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _failure(value: Any, **spelling: Any) -> str | None:
    try:
        json.dumps(value, ensure_ascii=False, **spelling).encode()
    except (TypeError, ValueError) as exc:
        return str(exc)
    return None
