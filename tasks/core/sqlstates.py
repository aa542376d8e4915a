"""What PostgreSQL's codes say of a server that is away (Appendix A of its manual, version 15, read 2026-11-24)."""

from __future__ import annotations

_CODES = frozenset({"57P01", "57P02", "57P03", "40001", "40P01"})
_CLASSES = frozenset({"08", "53"})
"""The server shuts down, starts, has no connection left, or gave way to another transaction."""


def is_away(code: str) -> bool:
    """Whether the code means that trying again may help."""
    return code in _CODES or code[:2] in _CLASSES
