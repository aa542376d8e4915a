"""Objects of a request into which values are merged, by JSON pointers (RFC 6901)."""

from __future__ import annotations

from typing import Annotated, Any

from jsonpointer import JsonPointer, JsonPointerException
from pydantic import AfterValidator


def _check_pointer(value: str) -> str:
    try:
        JsonPointer(value)
    except JsonPointerException:
        raise ValueError(f"{value!r} is not a JSON pointer; write one as /images/0/url") from None
    return value


Pointer = Annotated[str, AfterValidator(_check_pointer)]
"""A JSON pointer; an empty one is the whole answer."""


def can_hold(document: Any, pointer: str) -> bool:
    """True if an object stands there, or nothing that is in the way of one."""
    for part in JsonPointer(pointer).parts:
        if not isinstance(document, dict):
            return False
        document = document.get(part, {})
    return isinstance(document, dict)


def merge_into(document: dict[str, Any], pointer: str, values: dict[str, Any]) -> None:
    """Merge values into the object that stands there, which is made where nothing does; null takes one away."""
    target: Any = document
    # `setdefault` makes the objects on the way, as far as a row's options need them.
    for part in JsonPointer(pointer).parts:
        target = target.setdefault(part, {})
    for name, value in values.items():
        target[name] = value
        if value is None:
            del target[name]
