"""JSON values one after the other, each with the line that it begins on, and strict where Python's reader is not.

A name that stands twice in one object, half of a character and infinity are refused; NaN is null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tasks.manifest.cell_values import MOST_DIGITS

_SPACE = " \t\r\n"


def load_json(text: str) -> Any:
    """The value of a JSON text; NaN, which Python and R write for a missing number, is null."""
    value = _DECODER.decode(text)
    _check_characters(text, value)
    return value


def _check_characters(text: str, value: Any) -> None:
    # Only an escape can make half of a character, so plain text is spared the check.
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half of a character, as \\ud83d without its other half") from None


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, part in pairs:
        # Python keeps the last one in silence; the first may be what was meant.
        if name in value:
            raise ValueError(f"{name!r} stands twice in one object")
        value[name] = part
    return value


def _parse_constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is not a number")


def _parse_integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"holds a number of {len(digits)} digits; put it in quotes")
    return int(digits)


_DECODER = json.JSONDecoder(parse_constant=_parse_constant, parse_int=_parse_integer, object_pairs_hook=_build_object)


_HINTS = (
    (re.compile(r"//|/\*|#"), "JSON has no comments; delete them"),
    (re.compile(r"[]}]"), "delete the comma before it"),
    (re.compile(r"(True|False|None)\b"), "that is Python; JSON has true, false and null"),
    (re.compile("[\u2018-\u201f]"), "typographic quotes are none; write straight double quotes"),
    (re.compile(r"'|[A-Za-z_]"), "names and texts stand in double quotes"),
)
"""Text that people write and JSON does not have, and the remedy."""


def explain_json_error(exc: Exception) -> str:
    """The place, the reason and, where it is a usual mistake, the remedy."""
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    if not isinstance(exc, json.JSONDecodeError):
        return str(exc)
    rest = exc.doc[exc.pos : exc.pos + 200].lstrip()
    hint = next((hint for pattern, hint in _HINTS if pattern.match(rest)), None)
    if exc.msg.startswith("Expecting ','"):
        hint = 'a double quote inside a text is written \\"' if rest[:1].isalnum() else hint
    return f"column {exc.colno}: {exc.msg}" + (f"; {hint}" if hint else "")


class JsonScanner:
    """Reads the values of a JSON text one after the other, and knows the line of the last one."""

    def __init__(self, text: str) -> None:
        """Begin before the first value of `text`."""
        self._text = text.lstrip("\ufeff")
        self.position = 0
        self.line = 1
        self._counted = 0

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self._text[self.position : self.position + 1]

    def go_to(self, position: int) -> None:
        """Read on from a position that was read before."""
        self.position = self._counted = position
        self.line = self._text.count("\n", 0, position) + 1

    def skip_space(self) -> bool:
        """Go to the next character that is no space; False at the end of the text."""
        while self.position < len(self._text) and self._text[self.position] in _SPACE:
            self.position += 1
        return self.position < len(self._text)

    def skip_comma(self) -> None:
        """Go past a comma, if one comes next."""
        if self.skip_space() and self.peek() == ",":
            self.position += 1

    def read_value(self) -> Any:
        """The next value, whole.

        Raises:
            ValueError: It is not JSON.
            RecursionError: It is nested too deeply.
        """
        self.skip_space()
        # Counted from the last value on: from the start each time it would be quadratic.
        self.line += self._text.count("\n", self._counted, self.position)
        self._counted = begin = self.position
        value, self.position = _DECODER.raw_decode(self._text, begin)
        _check_characters(self._text[begin : self.position], value)
        return value

    def read_list(self) -> Iterator[Any]:
        """Values of the list that begins here."""
        self.skip_space()
        yield from self._read_members("[", "]", self.read_value)

    def read_keys(self) -> Iterator[str]:
        """Keys of the object that begins here; the caller reads each value."""
        self.skip_space()
        yield from self._read_members("{", "}", self._read_key)

    def read_key_lines(self, start: int) -> dict[str, int]:
        """The line of each key of an object that was read; the position stays."""
        end = self.position
        self.go_to(start)
        lines = {}
        for key in self.read_keys():
            lines[key] = self.line
            self.read_value()
        self.go_to(end)
        return lines

    def _read_key(self) -> str:
        key = self.read_value()
        self._expect(":")
        return str(key)

    def _read_members(self, opening: str, closing: str, read: Any) -> Iterator[Any]:
        self._expect(opening)
        self.skip_space()
        if self.peek() == closing:
            self.position += 1
            return
        while True:
            yield read()
            self.skip_space()
            if self.peek() == closing:
                self.position += 1
                return
            self._expect(",")

    def _expect(self, character: str) -> None:
        self.skip_space()
        if self.peek() != character:
            raise json.JSONDecodeError(f"Expecting {character!r} delimiter", self._text, self.position)
        self.position += 1
