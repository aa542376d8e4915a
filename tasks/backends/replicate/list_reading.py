"""One reading of the account's list of predictions, kept to what creates that were not answered may want of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from tasks.backends.replicate.api import ReplicateApi
from tasks.backends.replicate.likeness import Comparison, Likeness, SentInput, get_model_name

SKEW = timedelta(seconds=10)
"""By how much the clocks of the service's own machines may differ; its `Date` has whole seconds."""
# Some ids of each foreign name are enough to ask the ledger whether one of them is ours.
IDS_PER_NAME = 100


@dataclass(slots=True)
class Seen:
    """The findings of one sweep about one input."""

    same: list[dict[str, Any]] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    """Ids."""

    def take(self, answer: dict[str, Any], likeness: Likeness) -> None:
        """Note a listed prediction."""
        if likeness is Likeness.SAME:
            self.same.append(answer)
        elif likeness is Likeness.UNSURE:
            self.unsure.append(answer["id"])


@dataclass(frozen=True, slots=True)
class Reading:
    """The contents of the list."""

    seen: Mapping[str, Seen]
    """By input."""
    others: Mapping[str, Sequence[str]]
    """Some ids for each name that the model may have at the service."""
    is_whole: bool
    """The list was read to its end."""


async def read_list(
    api: ReplicateApi,
    comparison: Comparison,
    inputs: Mapping[str, SentInput],
    since: datetime,
    turn: Callable[[], Awaitable[None]],
) -> Reading:
    """Read the list, which may hold tens of thousands of predictions; no more is kept than what may be wanted.

    Args:
        api: The service.
        comparison: How a listed prediction is told from others.
        inputs: What was sent, by key.
        since: When the first of them was sent, by the service's clock.
        turn: Waits until the next page may be asked for.

    Raises:
        httpx.HTTPError: The list cannot be read; asking again is free.
    """
    by_prompt: defaultdict[Any, list[str]] = defaultdict(list)
    for key, sent in inputs.items():
        # Hashing by prompt: comparing each of 50,000 entries with each lost input would take minutes of CPU.
        by_prompt[sent.values.get("prompt")].append(key)
    seen = {key: Seen() for key in inputs}
    others: defaultdict[str, list[str]] = defaultdict(list)
    is_whole = True
    await turn()
    try:
        async for page in api.list_created(since - SKEW):
            for answer in page:
                name = get_model_name(answer)
                if not comparison.is_known(name) and len(others[name]) < IDS_PER_NAME:
                    others[name].append(answer["id"])
                for key in _get_possible_keys(answer, by_prompt, inputs):
                    seen[key].take(answer, comparison.compare(answer, inputs[key]))
            await turn()
    except httpx.DecodingError:  # it has no end, or goes on elsewhere: what it has shown is there all the same
        is_whole = False
    return Reading(seen, others, is_whole)


def _get_possible_keys(
    answer: dict[str, Any], by_prompt: Mapping[Any, list[str]], inputs: Mapping[str, SentInput]
) -> Iterable[str]:
    """Keys of the inputs that a listed prediction is worth comparing with."""
    listed = answer.get("input")
    # Its data is gone, so it may be any of them.
    if not isinstance(listed, dict) or not listed:
        return inputs
    prompt = listed.get("prompt")
    return by_prompt.get(prompt, ()) if prompt is None or isinstance(prompt, str) else inputs
