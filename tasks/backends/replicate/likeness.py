"""Comparison of a listed prediction with what was sent: the same model and the whole input, or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from tasks.backends.replicate.input_schema import InputSchema
from tasks.backends.replicate.options import ModelReference
from tasks.core.identity import to_canonical_json

MOST_NUMBER = 2**64
"""Seeds are the largest inputs that there are."""


class Likeness(Enum):
    """The result of comparing a listed prediction with what was sent."""

    OTHER = auto()
    """It was made by another create."""
    SAME = auto()
    """Its model and its whole input are what was sent."""
    UNSURE = auto()
    """It may be ours, and what would tell is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentInput:
    """The input of a create."""

    values: Mapping[str, Any]
    """Every input whose value is known, as it was sent."""
    unknown: frozenset[str] = frozenset()
    """Inputs whose value an earlier run knew: the addresses of its uploads."""
    files: tuple[str, ...] = ()
    """sha256 of the files behind `unknown`."""

    @property
    def key(self) -> str:
        """Equal for inputs that the list cannot tell apart."""
        return to_canonical_json([self.values, sorted(self.unknown)])


@dataclass(slots=True)
class Comparison:
    """The creates of one model as the service writes them down, as far as that is known."""

    model: ModelReference
    schema: InputSchema | None = None
    """The model's published schema: it says which further inputs are defaults."""
    names: set[str] = field(default_factory=set)
    """Names with which the service answered creates of this model; it may use names and owners of its own."""
    _added: dict[str, Any] = field(default_factory=dict)
    """Inputs that the service added to creates of this model by itself."""
    _rewritten: set[str] = field(default_factory=set)
    """Inputs that the service wrote down otherwise than they were sent, or left out."""

    @property
    def lists_frames(self) -> bool:
        """A list of outputs is the frames of one image, as far as the schema is known."""
        return self.schema is not None and self.schema.lists_frames

    def learn(self, answer: Mapping[str, Any], sent: SentInput) -> None:
        """Take from the answer to an own create how the service writes it down."""
        # The model is answered under an internal name at times ("replicate-internal/...", captured 2024).
        if name := get_model_name(answer):
            self.names.add(name)
        listed = answer.get("input")
        if isinstance(listed, dict):
            self._added |= {name: value for name, value in listed.items() if name not in sent.values}
            self._rewritten |= {name for name, value in sent.values.items() if not is_same(listed.get(name), value)}

    @property
    def shows_prompts(self) -> bool:
        """A prediction with another prompt is another one, as far as is known."""
        return "prompt" not in self._rewritten

    def is_known(self, name: str) -> bool:
        """True where a prediction of this name may be one of this model."""
        return name == self.model.name or name in self.names

    def compare(self, answer: Mapping[str, Any], sent: SentInput) -> Likeness:
        """Compare a listed prediction with `sent`."""
        name = get_model_name(answer)
        is_other_name = bool(name) and not self.is_known(name)
        if self._is_other_version(answer.get("version")):
            return Likeness.OTHER
        # An unreadable value of what may be our model may be ours; under a stranger's name it is one more difference.
        odd = Likeness.OTHER if is_other_name else Likeness.UNSURE
        likeness = self._compare_input(answer, sent, odd)
        # Not OTHER: a service that has a name of its own for some predictions may have answered none of those yet, and
        # what has the whole input would be paid for again.
        return likeness if self.is_known(name) else min(likeness, Likeness.UNSURE, key=_WORST.index)

    def _compare_input(self, answer: Mapping[str, Any], sent: SentInput, odd: Likeness) -> Likeness:
        listed = answer.get("input")
        # An hour after its creation the input is gone, and an empty one is as good as none.
        if answer.get("data_removed") or not isinstance(listed, dict) or not listed:
            return Likeness.UNSURE
        if any(name not in listed for name in sent.unknown):
            return Likeness.OTHER
        # Every value that was sent has to be there. The job's seed is among them, so an equal input is hardly ever a
        # stranger's.
        found = [self._compare_sent(name, listed, value, odd) for name, value in sent.values.items()]
        found += [self._judge(name, listed[name], odd) for name in listed.keys() - sent.values.keys() - sent.unknown]
        return min(found, key=_WORST.index, default=Likeness.SAME)

    def _compare_sent(self, name: str, listed: Mapping[str, Any], value: Any, odd: Likeness) -> Likeness:
        likeness = _compare_value(name, listed, value, odd)
        # Where the service rewrites an input, a difference in it does not tell two creates apart.
        return max(likeness, Likeness.UNSURE, key=_WORST.index) if name in self._rewritten else likeness

    # The service may add the defaults of the model to what was sent.
    def _judge(self, name: str, value: Any, odd: Likeness) -> Likeness:
        """Judge an input that we did not send: a default says nothing; any other value is somebody else's."""
        if value is None or (name in self._added and is_same(self._added[name], value)):
            return Likeness.SAME
        # An input that the schema does not know may be one that the service adds by itself.
        if self.schema is None or name not in self.schema.names:
            return Likeness.UNSURE
        if name not in self.schema.defaults:
            return Likeness.OTHER
        return _compare_value(name, {name: value}, self.schema.defaults[name], odd)

    def _is_other_version(self, version: object) -> bool:
        # "hidden" and "dp-..." stand for a version that the service keeps to itself (captured answers of 2024-2026).
        is_hash = isinstance(version, str) and re.fullmatch(r"[0-9a-f]{64}", version) is not None
        return self.model.version is not None and is_hash and version != self.model.version


_WORST = (Likeness.OTHER, Likeness.UNSURE, Likeness.SAME)


_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def get_model_name(answer: Mapping[str, Any]) -> str:
    """`owner/name` of a prediction, without its version; empty where that cannot be read."""
    model = answer.get("model")
    name = model.partition(":")[0] if isinstance(model, str) else ""
    return name if _NAME.fullmatch(name) else ""


def _compare_value(name: str, listed: Mapping[str, Any], expected: Any, odd: Likeness) -> Likeness:
    """Compare one listed input; `odd` for one that is no value of its kind, and so may have been any."""
    if name not in listed:
        # Inputs may be left out, so one more or less is another create; none is made without its prompt.
        return odd if name == "prompt" else Likeness.OTHER
    if is_same(listed[name], expected):
        return Likeness.SAME
    return Likeness.OTHER if _get_kind(listed[name]) == _get_kind(expected) else odd


def _get_kind(value: Any) -> str:
    if isinstance(value, int | float):
        # Infinity, NaN and 10^30 are JSON to Python, and no input of any model.
        return "number" if abs(value) < MOST_NUMBER else "no number"
    return type(value).__name__


def is_same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):  # True == 1 in Python, but not in JSON
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)
