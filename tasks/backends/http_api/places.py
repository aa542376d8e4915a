"""Places in an answer: JSON pointers (RFC 6901) as `/images/0/url`, JSONPath (RFC 9535) as `$.parts[*].data`, or several.

Of several places the first one that holds something counts. `{id}` in a pointer is the prediction's id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import jsonpath
from jsonpointer import JsonPointer, JsonPointerException
from pydantic import AfterValidator

PATH = "$"
# A `$..*` over a large answer would list every value of it.
MOST_FOUND = 1_000
"""Values of one JSONPath that are looked at."""


def _check_place(value: str | list[str]) -> str | list[str]:
    places = [value] if isinstance(value, str) else value
    if not places:
        raise ValueError("names no place; write one as /images/0/url")
    for place in places:
        _check_one(place)
    return value


def _check_one(place: str) -> None:
    try:
        _ = jsonpath.compile(place) if place.startswith(PATH) else JsonPointer(place)
    except (jsonpath.JSONPathError, JsonPointerException):
        raise ValueError(
            f"{place!r} is no place in an answer; write a JSON pointer as /images/0/url, or a JSONPath as $.images[*].url"
        ) from None


Place = Annotated[str | list[str], AfterValidator(_check_place)]
"""The place of something in an answer; an empty pointer is the whole answer."""


def read_first(document: Any, place: str | list[str] | None, values: Mapping[str, Any] | None = None) -> Any:
    """Read the first value there; None where there is none, or no place."""
    return next(read_all(document, place, values), None)


def read_all(document: Any, place: str | list[str] | None, values: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Everything but null that stands at the first of the places that holds something."""
    places = [place] if isinstance(place, str) else place or []
    for one in places:
        # null says that there is nothing, so the next place is asked
        found = [value for value in _read_one(document, one, values or {}) if value is not None]
        if found:
            yield from found
            return


def _read_one(document: Any, place: str, values: Mapping[str, Any]) -> Iterator[Any]:
    try:
        if place.startswith(PATH):
            if isinstance(document, str):  # the library would read a text as JSON; here it is an answer that is no JSON
                return
            for number, match in enumerate(jsonpath.finditer(place, document)):
                if number == MOST_FOUND:
                    return  # the rest of a huge list cannot be the image
                yield match.obj
        else:
            yield JsonPointer(_fill_pointer(place, values)).resolve(document, None)
    # An answer that does not have the expected form simply holds nothing at that place.
    except (jsonpath.JSONPathError, JsonPointerException, RecursionError, TypeError):
        return


def _fill_pointer(pointer: str, values: Mapping[str, Any]) -> str:
    for name, value in values.items():
        # A slash or a tilde of the value is a part of a key there.
        escaped = str(value).replace("~", "~0").replace("/", "~1")
        pointer = pointer.replace("{" + name + "}", escaped)
    return pointer
