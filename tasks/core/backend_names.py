"""Names of backend instances as people write them: one, or several in the order in which they are tried."""

from __future__ import annotations

from typing import Any

from tasks.core.errors import InputError


def parse_names(value: Any) -> tuple[str, ...]:
    """`a`, `a, b` or a list of names as a tuple without repetitions.

    Raises:
        ValueError: It names none, or is neither text nor a list of texts.
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("is not the name of a backend, nor a list of names; write a, or [a, b] to try b where a fails")
    names = tuple(dict.fromkeys(part.strip() for part in parts))
    if not names or not all(names):
        raise ValueError("names no backend; write a, or [a, b] to try b where a fails")
    return names


def chosen_names(given: str | None) -> tuple[str, ...]:
    """The names of `--backend`; none where it is not given.

    Raises:
        InputError: It names none.
    """
    if given is None:
        return ()
    try:
        return parse_names(given)
    except ValueError as exc:
        raise InputError(f"--backend {exc}") from None
