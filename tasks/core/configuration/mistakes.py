"""One mistake of a setting in words: what stands there, and what should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_MAPPING = "settings by their names, as {name: value}"
_WANTED = {
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "list_type": "a list, as [value]",
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "invalid_key": "a text",
}
"""By pydantic's type of an error; its own words name classes of ours."""
_KINDS = ((str, "a text"), (list | tuple | set, "a list"), (dict, "settings by their names"))
_SHOWN_CHARS = 40


def describe_mistake(error: Mapping[str, Any]) -> str:
    """The rest of a sentence about one pydantic error, behind the setting's name."""
    wanted = _WANTED.get(error["type"])
    if wanted is None:
        return str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "invalid_key" or error["loc"][-1:] == ("[key]",):
        return "this name must be a text; put it in quotes"
    return f"must be {wanted}, not {describe_value(error['input'])}"


def describe_first_mistake(exc: ValidationError) -> str:
    """The first error of a model, behind the name of its field."""
    first = exc.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {describe_mistake(first)}"


def require_texts(value: Any) -> Any:
    """The value where it is a text or a list of texts; run before pydantic tells of each of the two kinds.

    Raises:
        ValueError: It is something else.
    """
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, str):
            # No TypeError: pydantic takes a ValueError alone for a mistake of the user's.
            raise ValueError(f"must be a text or a list of texts, not {describe_value(each)}")  # noqa: TRY004  as above
    return value


def describe_value(value: Any) -> str:
    """A value of a file by its kind. A text is not shown, because it may be a key in the wrong place."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}" if len(str(value)) <= _SHOWN_CHARS else "a number"
    return next((words for kind, words in _KINDS if isinstance(value, kind)), f"a {type(value).__name__}")
