"""Answers that come in parts: server-sent events, and one JSON value a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tasks.backends.client.answers import parse_json_bytes

MOST_EVENTS = 10_000
"""Of one answer: some services send one for each step."""
END = "[DONE]"
"""What OpenAI's streams, and those that copy them, end with."""
_DATA = "data:"


def parse_events(body: bytes) -> list[Any]:
    """The JSON values of an answer's events or lines, in order.

    Raises:
        ValueError: It holds none, or something else.
    """
    # An image, or a page, fails here at its first bytes or its first line.
    # Not `splitlines`: a text inside JSON may hold line separators of Unicode.
    lines = re.split(r"\r\n|\r|\n", body.decode("utf-8-sig"))
    texts = _list_data(lines) if any(line.startswith(_DATA) for line in lines) else iter(lines)
    found = []
    for text in texts:
        if text.strip() and text.strip() != END:
            found.append(parse_json_bytes(text.encode()))
        if len(found) > MOST_EVENTS:
            raise ValueError("it has too many parts")
    if not found:
        raise ValueError("it is empty")
    return found


def _list_data(lines: list[str]) -> Iterator[str]:
    """The data of each event: its `data:` lines together; names, ids and comments are left out."""
    data: list[str] = []
    for line in [*lines, ""]:
        if line.startswith(_DATA):
            data.append(line.removeprefix(_DATA).removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
