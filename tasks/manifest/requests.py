"""Rows of request files: lines that were written for a provider's API, with the request inside.

`body` is a request in a batch file of OpenAI, `input` one of Replicate or fal. What stands in there under a known
name is a column, everything else is an option of the backend, since it was written for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.manifest.names import find_alias, guess_column, holds_prompts

ENVELOPES = ("body", "input")
SHELL = frozenset({"custom_id", "method", "url", "model", "version", "id", "webhook", "endpoint", "params"})
"""Names that stand beside a request."""


class NotAPrompt(ValueError):
    """Raised for a chat from which no single prompt can be read."""


def unwrap_request(cells: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The row's columns and the options that stood inside its request; any other row as it is.

    Raises:
        NotAPrompt: The request is a chat of several messages, or of none with text.
    """
    for name in ENVELOPES:
        inner = cells.get(name)
        if isinstance(inner, dict) and not holds_prompts(cells) and _is_request(inner, cells):
            if name == "body" and isinstance(inner.get("input"), dict):
                inner = {**{key: value for key, value in inner.items() if key != "input"}, **inner["input"]}
            return _unwrap(cells, name, inner)
    if isinstance(cells.get("messages"), list) and not holds_prompts(cells):
        row = {name: value for name, value in cells.items() if name not in {"messages", "modalities"}}
        return {**row, "prompt": _read_chat(cells["messages"])}, {}
    return cells, {}


def _is_request(inner: Mapping[str, Any], cells: Mapping[str, Any]) -> bool:
    return holds_prompts(inner) or "messages" in inner or bool(SHELL & cells.keys())


def _unwrap(
    cells: Mapping[str, Any], envelope: str, inner: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    row = {name: value for name, value in cells.items() if name != envelope}
    if isinstance(version := row.get("version"), str) and "/" in version:  # Replicate: owner/name:version
        row.setdefault("model", version)
    options: dict[str, Any] = {}
    for name, value in inner.items():
        if name == "messages" and not holds_prompts(inner):
            row["prompt"] = _read_chat(value)
        elif find_alias(name) is not None or guess_column(name) is not None:
            row[name] = value
        else:
            options[name] = value
    return row, options


def _read_chat(messages: Any) -> str:
    """The text of the one message of a user."""
    texts = [text for message in messages if isinstance(message, dict) for text in _read_message(message)]
    if len(texts) != 1:
        raise NotAPrompt(f"holds a chat of {len(texts)} texts; give one prompt")
    return texts[0]


def _read_message(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    return [
        text
        for part in parts
        if isinstance(text := part.get("text") if isinstance(part, dict) else part, str) and text.strip()
    ]
