"""One answer of a configured API, and what holds of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.backends.client.answers import parse_json_bytes
from tasks.backends.http_api.events import parse_events
from tasks.backends.http_api.places import HEADER, read_slots
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
    status: int = 200

    def read(self, place: str | list[str] | None) -> Any:
        """Read the first value there; None where there is none."""
        return next(self.read_all(place), None)

    def read_all(self, place: str | list[str] | None) -> Iterator[Any]:
        """Everything but null that stands at the first of the places that holds something."""
        return (value for value in self.read_slots(place) if value is not None)

    def read_slots(self, place: str | list[str] | None) -> list[Any]:
        """As `read_all`, with null too."""
        return read_slots(self.document, place, self.values, self.headers)


def parse_document(raw: bytes) -> Any:
    """The JSON of a body, or the list of its events or lines where it comes in parts.

    Raises:
        ValueError: It is none of these.
    """
    try:
        return parse_json_bytes(raw)
    except ValueError:
        return parse_events(raw)


def parse_kept(raw: bytes) -> Answer:
    """An answer that was kept as it came; it may be no JSON."""
    try:
        return Answer(document=parse_document(raw), raw=raw)
    except ValueError:
        return Answer(raw=raw)


def any_holds(conditions: list[Condition], answer: Answer) -> bool:
    """True if the answer says one of these by a value."""
    return any(True in list_flags(condition, answer) for condition in conditions)


def list_flags(condition: Condition, answer: Answer) -> list[bool]:
    """For each value at the condition's place whether it is one that the condition means; null is none."""
    place = condition.at if condition.header is None else f"{HEADER}{condition.header}"
    values = answer.read_slots(place)
    # A pointer gives a list of flags, one for each image, as one value: `has_nsfw: [false, true]`.
    if any(one is True for one in condition.equals) and len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    return [value is not None and _is_meant(condition, value) for value in values]


def _is_meant(condition: Condition, value: Any) -> bool:
    return (
        _equals_any(value, condition.equals)
        or (bool(condition.differs) and not _equals_any(value, condition.differs))
        or contains_any(condition.contains, str(value))
        or (condition.is_empty and value in ([], {}, ""))
    )


def _equals_any(value: Any, wanted: list[Any]) -> bool:
    # A boolean is no number here, though Python takes True for 1.
    return any(type(value) is type(one) and value == one for one in wanted)


def contains_any(parts: list[str], words: str) -> bool:
    """True if one of the parts is in the words, in any case."""
    return any(part.lower() in words.lower() for part in parts)
