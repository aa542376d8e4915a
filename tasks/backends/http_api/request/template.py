"""Templates of requests: text and JSON with placeholders, filled in and nothing more; no part of them is ever run.

`{name}` is a placeholder, `{{` and `}}` are braces. A text that is one placeholder and nothing else becomes the value
itself, with its type: `seed: "{seed}"` sends a number. A key or an item whose value is not there is left out, and so is a
text of which only the signs between its placeholders are left.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_SEPARATORS = re.compile(r"[\W_]*[xX]?[\W_]*")
ENV = "env:"
TOKEN = "token"  # noqa: S105  the name of a placeholder
"""The token that an earlier call, or a program, gives for all other calls."""
_ENV_NAME = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
# `owner/name` is part of the path there, and %2F is not understood by every server.
_KEEPS_SLASHES = frozenset({"model"})


def find_names(tree: Any) -> Iterator[str]:
    """Every placeholder of a template, `env:NAME` among them."""
    if isinstance(tree, str):
        yield from (match[1] for match in _PLACEHOLDER.finditer(tree) if match[1] is not None)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from find_names(key)
            yield from find_names(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from find_names(item)


def is_place(name: str) -> bool:
    """True if a placeholder is a place in the last answer: `{/outputs/0/name}`, `{$.outputs[0].name}`, `{header:id}`."""
    return name.startswith(("/", "$", "header:"))


def check(tree: Any, allowed: Collection[str], *, env: bool, from_answer: bool = False) -> None:
    """Pass where every placeholder is one of `allowed`, or with `env` a variable, or with `from_answer` a place.

    Raises:
        ValueError: One is not; names it and those that there are.
    """
    for name in find_names(tree):
        if name in allowed or (env and _ENV_NAME.fullmatch(name)) or (from_answer and is_place(name)):
            continue
        if name.startswith(ENV):
            where = "write {env:NAME}" if env else "a secret belongs into a header or an address"
            raise ValueError(f"{{{name}}} cannot stand here; {where}")
        there_are = ", ".join(f"{{{known}}}" for known in sorted(allowed))
        raise ValueError(f"{{{name}}} is no placeholder here; there are {there_are}" + (", {env:NAME}" if env else ""))


def fill(tree: Any, values: Mapping[str, Any]) -> Any:
    """The template with its placeholders filled in; what has no value is None, or left out of what holds it."""
    if isinstance(tree, str):
        whole = _PLACEHOLDER.fullmatch(tree)
        # A text that is one placeholder keeps the value's type: a seed has to stay a number in JSON.
        if whole and whole[1] is not None:
            return values.get(whole[1])
        names = list(find_names(tree))
        is_empty = bool(names) and all(values.get(name) is None for name in names)
        text = fill_text(tree, values)
        # "{width}*{height}" of a row without a size is no text: the service would refuse the "*" that is left.
        return None if is_empty and _SEPARATORS.fullmatch(text) else text
    if isinstance(tree, Mapping):
        filled = ((key, fill(value, values)) for key, value in tree.items())
        # None is left out: most services refuse `"seed": null`, though the input is optional.
        return {key: value for key, value in filled if value is not None}
    if isinstance(tree, list):
        return [value for item in tree if (value := fill(item, values)) is not None]
    return tree


def fill_text(text: str, values: Mapping[str, Any]) -> str:
    """The text with its placeholders filled in; what has no value is empty."""

    def filled(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        value = values.get(match[1])
        return "" if value is None else str(value)

    return _PLACEHOLDER.sub(filled, text)


def fill_address(text: str, values: Mapping[str, Any]) -> str:
    """The address with its placeholders filled in, so that no value can lead anywhere else."""
    quoted = {
        # Quoted without exceptions: a prompt with `/../` or `?` must not lead to another path.
        name: quote(str(value), safe="/" if name in _KEEPS_SLASHES else "")
        for name, value in values.items()
        if value is not None
    }
    return fill_text(text, quoted)
