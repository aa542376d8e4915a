"""One answer of a configured API, and what holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.backends.client.answers import parse_json_bytes
from tasks.backends.http_api.places import read_all, read_first
from tasks.backends.http_api.sections import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the service, as far as it is looked at."""

    document: Any = None
    """Its JSON; None where it holds none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""
    # Where an API names its outputs by the id (ComfyUI's history), the place of the image depends on it.
    values: Mapping[str, Any] = field(default_factory=dict)
    """For placeholders in places: the prediction's id."""

    def read(self, place: str | list[str] | None) -> Any:
        """Read the first value there."""
        return read_first(self.document, place, self.values)


def parse_kept(raw: bytes) -> Answer:
    """An answer that was kept as it came; it may be no JSON."""
    try:
        return Answer(document=parse_json_bytes(raw), raw=raw)
    except ValueError:
        return Answer(raw=raw)


def any_holds(conditions: list[Condition], answer: Answer) -> bool:
    """True if the answer says one of these by a value."""
    return any(_holds(condition, answer) for condition in conditions)


def _holds(condition: Condition, answer: Answer) -> bool:
    if condition.header is not None:
        found = [answer.headers[condition.header]] if condition.header in answer.headers else []
    else:
        found = list(read_all(answer.document, condition.at, answer.values))
    return any(
        _equals_any(value, condition.equals)
        or contains_any(condition.contains, str(value))
        or (condition.is_empty and value in ([], {}, ""))
        for value in found
    )


def _equals_any(value: Any, wanted: list[Any]) -> bool:
    # A boolean is no number here, though Python takes True for 1.
    return any(type(value) is type(one) and value == one for one in wanted)


def contains_any(parts: list[str], words: str) -> bool:
    """True if one of the parts is in the words, in any case."""
    return any(part.lower() in words.lower() for part in parts)
