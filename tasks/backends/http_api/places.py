"""Places in an answer: JSON pointers (RFC 6901) as `/images/0/url`, JSONPath (RFC 9535) as `$.parts[*].data`, headers as `header:location`, or several.

Of several places the first one that holds something counts. `{id}` in a pointer is the prediction's id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import jsonpath
from jsonpointer import JsonPointer, JsonPointerException
from pydantic import AfterValidator, BeforeValidator

from tasks.core.configuration.mistakes import require_texts

PATH = "$"
HEADER = "header:"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
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
    if place.startswith(HEADER):
        if not _HEADER_NAME.fullmatch(place.removeprefix(HEADER)):
            raise ValueError(f"{place!r} is not the name of a header; write it as header:location")
        return
    try:
        _ = jsonpath.compile(place) if place.startswith(PATH) else JsonPointer(place)
    except (jsonpath.JSONPathError, JsonPointerException):
        raise ValueError(
            f"{place!r} is no place in an answer; write a JSON pointer as /images/0/url, or a JSONPath as $.images[*].url"
        ) from None


Place = Annotated[str | list[str], AfterValidator(_check_place), BeforeValidator(require_texts)]
"""The place of something in an answer; an empty pointer is the whole answer."""


def read_first(document: Any, place: str | list[str] | None) -> Any:
    """Read the first value there; None where there is none, or no place."""
    return next(read_all(document, place), None)


def read_all(document: Any, place: str | list[str] | None) -> Iterator[Any]:
    """Everything but null that stands at the first of the places that holds something."""
    # null says that there is nothing
    return (value for value in read_slots(document, place) if value is not None)


def read_slots(
    document: Any,
    place: str | list[str] | None,
    values: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> list[Any]:
    """As `read_all`, with null too: a list of images has one where an image was held back."""
    for one in [place] if isinstance(place, str) else place or []:
        if one.startswith(HEADER):
            found: list[Any] = [(headers or {}).get(one.removeprefix(HEADER))]
        else:
            found = list(_read_one(document, one, values or {}))
        if any(value is not None for value in found):
            return found
    return []


def stands_in_headers(place: str | list[str] | None) -> bool:
    """True if a place, or one of several, is a header."""
    return any(one.startswith(HEADER) for one in ([place] if isinstance(place, str) else place or []))


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
