"""Rows of request files: lines that were written for a provider's API, with the request inside.

`body` is a request in a batch file of OpenAI, `input` one of Replicate or fal, `request` one of Gemini, `modelInput`
one of Bedrock. What stands in there under a known name is a column, everything else is an option of the backend,
since it was written for one. Galleries and data bases keep their rows in an object of their own as well (`meta`,
`fields`, `row`): what stands in there is a column like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.manifest.names import find_alias, fold_name, guess_column, holds_prompts

ENVELOPES = ("body", "input", "arguments", "request", "modelInput", "image_request")
SHELL = frozenset(
    {"custom_id", "method", "url", "model", "version", "id", "webhook", "endpoint", "params", "app", "key", "recordId"}
)
"""Names that stand beside a request."""
TEXTS = ("messages", "contents", "text_prompts")
"""Lists in which a request keeps its texts: chats of OpenAI and OpenRouter, Gemini's parts, Stability's weights."""
SETTINGS = frozenset({"imageconfig", "generationconfig", "imagegenerationconfig", "texttoimageparams", "parameters"})
"""Objects inside of a request that hold columns (folded)."""
MODALITIES = frozenset({"modalities", "responsemodalities"})
"""They say that an image is wanted."""
_MODEL_NAMES = ("endpoint", "app", "version")
_PATH = re.compile(r"[\w.-]+/\S+")
_RESOLUTION = re.compile(r"\d(\.\d)?K", re.IGNORECASE)
"""Gemini's `imageSize`, which is no size in pixels."""


class NotAPrompt(ValueError):
    """Raised for a request from which no single prompt can be read."""


def is_request(cells: Mapping[str, Any]) -> bool:
    """True if an object is one row in itself: it holds a prompt, or the request that does."""
    return (
        holds_prompts(cells)
        or any(isinstance(cells.get(name), list) for name in (*TEXTS, "instances"))
        or any(isinstance(cells.get(name), dict) for name in ENVELOPES)
        # Beside other facts, an object with a prompt is a part of the row; among others alike it is a row itself.
        or (_find_part(cells) is not None and not all(isinstance(value, dict) for value in cells.values()))
    )


def unwrap_request(cells: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The row's columns and the options that stood inside its request; any other row as it is.

    Raises:
        NotAPrompt: The request is a chat of several messages, or of none with text.
    """
    if holds_prompts(cells):
        return cells, {}
    for name in ENVELOPES:
        inner = cells.get(name)
        if isinstance(inner, dict) and _is_wrapped(inner, cells):
            # A Replicate request in a batch file of OpenAI's shape has both envelopes.
            if name == "body" and isinstance(inner.get("input"), dict):
                inner = {**{key: value for key, value in inner.items() if key != "input"}, **inner["input"]}
            return _unwrap({key: value for key, value in cells.items() if key != name}, inner)
    if any(isinstance(cells.get(name), list) for name in (*TEXTS, "instances")):
        row, options = _unwrap({}, cells)
        # Nothing was wrapped, so what is no column was not said to be an option either.
        return {**row, **options}, {}
    if part := _find_part(cells):
        return {**{name: value for name, value in cells.items() if name != part}, **cells[part]}, {}
    return cells, {}


def _is_wrapped(inner: Mapping[str, Any], cells: Mapping[str, Any]) -> bool:
    return is_request(inner) or bool(SHELL & cells.keys())


def _find_part(cells: Mapping[str, Any]) -> str | None:
    """The one object in a row that holds the prompt, such as `meta` of Civitai or `fields` of Airtable."""
    parts = [name for name, value in cells.items() if isinstance(value, dict) and holds_prompts(value)]
    return parts[0] if len(parts) == 1 else None


def _unwrap(shell: Mapping[str, Any], inner: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    row = _name_shell(shell)
    options: dict[str, Any] = {}
    has_prompt = holds_prompts(inner)
    for name, value in _flatten(inner):
        if name in TEXTS and not has_prompt:
            row |= _read_weighted(value) if name == "text_prompts" else {"prompt": _read_chat(value)}
        elif name == "input" and isinstance(value, str) and not has_prompt:  # OpenAI's responses
            row["prompt"] = value
        elif fold_name(name) == "imagesize" and isinstance(value, str) and _RESOLUTION.fullmatch(value):
            options[name] = value
        # A misspelt name becomes a column, which is asked about; as an option it would be sent.
        elif find_alias(name) is not None or guess_column(name) is not None:
            row[name] = value
        elif fold_name(name) not in MODALITIES:
            options[name] = value
    return row, options


def _name_shell(shell: Mapping[str, Any]) -> dict[str, Any]:
    """The cells beside a request, with the names of its line and its model as columns."""
    row = dict(shell)
    for name in _MODEL_NAMES:  # fal's endpoint, Replicate's owner/name:version
        if isinstance(model := row.get(name), str) and _PATH.fullmatch(model):
            row.setdefault("model", model)
    for name in ("key", "recordId"):  # Gemini's and Bedrock's names of a line
        if name in row and not row.keys() & {"id", "custom_id"}:
            row["id"] = row.pop(name)
    return row


def _flatten(inner: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The request's settings, those of its inner objects too."""
    for name, value in inner.items():
        if name == "instances" and isinstance(value, list):  # Vertex
            if len(value) != 1 or not isinstance(value[0], dict):
                raise NotAPrompt(f"holds {len(value)} instances; write each on a line of its own")
            yield from _flatten(value[0])
        elif fold_name(name) in SETTINGS and isinstance(value, dict):
            yield from _flatten(value)
        else:
            yield name, value


def _read_weighted(texts: Any) -> dict[str, Any]:
    """Stability's texts with weights: what has a negative one is the negative prompt."""
    signs: dict[bool, list[str]] = {True: [], False: []}
    for text in texts if isinstance(texts, list) else ():
        if isinstance(text, dict) and isinstance(words := text.get("text"), str):
            weight = text.get("weight")
            signs[not isinstance(weight, int | float) or weight >= 0].append(words)
    if len(signs[True]) != 1:
        raise NotAPrompt(f"holds {len(signs[True])} texts with weights; give one prompt")
    return {"prompt": signs[True][0]} | ({"negative_prompt": ", ".join(signs[False])} if signs[False] else {})


def _read_chat(messages: Any) -> str:
    """The text of the one message of a user."""
    messages = messages if isinstance(messages, list) else []
    texts = [text for message in messages if isinstance(message, dict) for text in _read_message(message)]
    # Which of several texts is the prompt is a guess that would be paid for.
    if len(texts) != 1:
        raise NotAPrompt(f"holds a chat of {len(texts)} texts; give one prompt")
    return texts[0]


def _read_message(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content", message.get("parts"))
    parts = content if isinstance(content, list) else [content]
    return [
        text
        for part in parts
        if isinstance(text := part.get("text") if isinstance(part, dict) else part, str) and text.strip()
    ]
