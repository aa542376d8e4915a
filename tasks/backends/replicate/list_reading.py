"""One reading of the account's list of predictions, kept to what creates that were not answered may want of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from tasks.backends.replicate.api import AskPage, ReplicateApi, is_id
from tasks.backends.replicate.likeness import Comparison, Likeness, SentInput, get_model_name
from tasks.backends.replicate.predictions import parse_created

SKEW = timedelta(seconds=10)
"""By how much the clocks of the service's own machines may differ; its `Date` has whole seconds."""
# Some ids of each foreign name are enough to ask the ledger whether one of them is ours.
IDS_PER_NAME = 100
_ANY = object()
"""In place of the prompt of a model whose prompts the service does not write down as they were sent."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which a create can have reached the service, by the service's clock."""

    begin: datetime
    end: datetime | None = None
    """None where nobody knows when it was given up: the run that sent it was killed."""

    def has(self, created_at: datetime | None) -> bool:
        """True where a prediction of this time may be its own; one without a time may be anybody's."""
        if created_at is None:
            return True
        return self.begin - SKEW <= created_at and (self.end is None or created_at <= self.end + SKEW)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An input that is looked for."""

    sent: SentInput
    comparison: Comparison
    """Tells a listed prediction from others."""
    key: tuple[str, str] = field(init=False, compare=False)
    """Equal for creates that the list cannot tell apart."""

    def __post_init__(self) -> None:
        """Spell the key: each sweep asks for those of all lost creates."""
        object.__setattr__(self, "key", (str(self.comparison.model), self.sent.key))


@dataclass(slots=True)
class Seen:
    """The findings of one sweep about one input."""

    same: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id: pages that shift while they are read show a prediction twice."""
    unsure: dict[str, datetime | None] = field(default_factory=dict)
    """Ids of predictions that may be it, and when they were created."""

    def take(self, answer: dict[str, Any], likeness: Likeness) -> None:
        """Note a listed prediction."""
        if likeness is Likeness.SAME and is_id(answer["id"]):
            self.same[answer["id"]] = answer
        # One that has no id can neither be adopted nor be told from ours.
        elif likeness is not Likeness.OTHER:
            self.unsure[answer["id"]] = parse_created(answer).created_at


@dataclass(frozen=True, slots=True)
class Reading:
    """The contents of the list."""

    seen: Mapping[tuple[str, str], Seen]
    """By `Wanted.key`."""
    others: Mapping[str, Sequence[str]]
    """Some ids for each name that one of the models may have at the service."""
    bare: Sequence[str]
    """Ids of predictions whose input the list does not show."""
    is_whole: bool
    """The list was read to its end."""


async def read_list(api: ReplicateApi, inputs: Collection[Wanted], since: datetime, ask: AskPage) -> Reading:
    """Read the list, which may hold tens of thousands of predictions; no more is kept than what may be wanted.

    Args:
        api: The service.
        inputs: What was sent, each input once.
        since: When the first of them was sent, by the service's clock.
        ask: Makes the call for each page.

    Raises:
        httpx.HTTPError: The list cannot be read; asking again is free.
    """
    by_prompt: defaultdict[Any, list[Wanted]] = defaultdict(list)
    for wanted in inputs:
        # Hashing by prompt: comparing each of 50,000 entries with each lost input would take minutes of CPU.
        by_prompt[wanted.sent.values.get("prompt") if wanted.comparison.shows_prompts else _ANY].append(wanted)
    seen = {wanted.key: Seen() for wanted in inputs}
    comparisons = list({id(wanted.comparison): wanted.comparison for wanted in inputs}.values())
    others: defaultdict[str, list[str]] = defaultdict(list)
    bare: list[str] = []
    is_whole, unnamed = True, 0
    try:
        async for page in api.list_created(since - SKEW, ask=ask):
            for answer in page:
                if is_id(answer.get("id")):
                    _note_id(answer, comparisons, others, bare)
                else:
                    unnamed += 1
                    answer["id"] = f"?{unnamed}"
                for wanted in _find_possible(answer, by_prompt, inputs):
                    seen[wanted.key].take(answer, wanted.comparison.compare(answer, wanted.sent))
    except httpx.DecodingError:  # it has no end, or goes on elsewhere: what it has shown is there all the same
        is_whole = False
    return Reading(seen, others, bare, is_whole)


def _note_id(
    answer: dict[str, Any], comparisons: Iterable[Comparison], others: dict[str, list[str]], bare: list[str]
) -> None:
    name = get_model_name(answer)
    if name and len(others[name]) < IDS_PER_NAME and not all(found.is_known(name) for found in comparisons):
        others[name].append(answer["id"])
    if not _shows_input(answer):
        bare.append(answer["id"])


def take_answer(reading: Reading, answer: dict[str, Any], inputs: Collection[Wanted]) -> None:
    """Judge a prediction that the list shows without its input anew, by its own answer."""
    for wanted in inputs:
        seen = reading.seen[wanted.key]
        if seen.unsure.pop(answer["id"], seen) is not seen:
            seen.take(answer, wanted.comparison.compare(answer, wanted.sent))


def _shows_input(answer: dict[str, Any]) -> bool:
    return isinstance(answer.get("input"), dict) and bool(answer["input"])


def _find_possible(
    answer: dict[str, Any], by_prompt: Mapping[Any, list[Wanted]], inputs: Collection[Wanted]
) -> Iterable[Wanted]:
    """Inputs that a listed prediction is worth comparing with."""
    if not _shows_input(answer):  # its data is gone, so it may be any of them
        return inputs
    prompt = answer["input"].get("prompt")
    # Without a prompt that can be read it may be any of them too.
    return [*by_prompt.get(prompt, ()), *by_prompt.get(_ANY, ())] if isinstance(prompt, str) else inputs
