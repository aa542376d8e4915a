"""The faults by name, and when they strike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tasks.backends.replicate_simulator.chance import draw
from tasks.core.text import align_columns


class Meaning(StrEnum):
    """Meaning of the number after a fault's name."""

    SHARE = "share"
    SECONDS = "seconds"
    CREATES = "creates"


MOST_SECONDS = 100_000_000
"""Three years: times far beyond are no dates any more."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble."""

    name: str
    shows: str
    """The symptom that a client sees."""
    number: Meaning = Meaning.SHARE
    usual: float = 1.0
    """The number where none is given."""


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("unauthorized", "any call: 401"),
        Fault("insufficient_credit", "create: 402 after so many creates", Meaning.CREATES, 0),
        Fault("not_found", "create: 404"),
        Fault("invalid_input", "create: 422 with invalid_fields"),
        Fault("throttled", "create: 429 though the rate was kept"),
        Fault("low_credit", "create: 6 a minute, burst 1, 429 beyond that"),
        Fault("server_error_500", "create: 500, nothing created"),
        Fault("bad_gateway_html_502", "create: 502 with an HTML page, nothing created"),
        Fault("drop_before_create", "create: the connection closes, nothing created"),
        Fault("timeout_504_after_create", "create: 504, though it was created"),
        Fault("drop_after_create", "create: the connection closes, though it was created"),
        Fault("hang_after_create", "create: never answered, though it was created"),
        Fault("unreadable_2xx_after_create", "create: 201 with half of its JSON"),
        Fault("list_lag", "list: a prediction shows up after so many seconds", Meaning.SECONDS, 5),
        Fault("list_without_data", "list: a prediction's data is gone already"),
        Fault("list_loops", "list: `next` leads to the same page"),
        Fault("list_odd_entries", "list: entries that are no predictions stand among them"),
        Fault("renamed_owner", "any call: the model has a name of the service's own"),
        Fault("clock_skew", "any call: the service's clock is so many seconds behind", Meaning.SECONDS, 600),
        Fault("poll_odd_status", "get and list: the state is an object"),
        Fault("poll_deep_json", "get and list: JSON nested 100,000 deep"),
        Fault("poll_429", "get and list: 429"),
        Fault("poll_500", "get and list: 500"),
        Fault("failed_pa", "prediction: failed, interrupted (code: PA)"),
        Fault("failed_director_e9828", "prediction: failed, Director (E9828)"),
        Fault("failed_e005", "prediction: failed, flagged as sensitive (E005)"),
        Fault("failed_nsfw", "prediction: failed, all images flagged"),
        Fault("partial_nsfw", "prediction: succeeded with fewer images than asked for"),
        Fault("newline_e9828", "prediction: flux-schnell fails on every prompt with a line break"),
        Fault("aborted", "prediction: aborted before it started"),
        Fault("stuck_starting", "prediction: starting, until its deadline or for ever"),
        Fault("output_null", "prediction: succeeded without output"),
        Fault("several_images", "prediction: succeeded with four images, whatever was asked for"),
        Fault("output_dict", "prediction: the output is an object"),
        Fault("output_data_uri", "prediction: the output is a data: address"),
        Fault("wrong_suffix", "prediction: the file's name does not tell its format"),
        Fault("retention", "prediction and file: gone so many seconds after the end", Meaning.SECONDS, 60),
        Fault("wrong_content_type", "file: its content type is another format's"),
        Fault("truncated_file", "file: half of it, as if it were whole"),
        Fault("dropped_file", "file: the connection closes in the middle"),
        Fault("slow_file", "file: half of it comes after so many seconds", Meaning.SECONDS, 10),
        Fault("file_404", "file: 404"),
        Fault("file_500", "file: 500"),
        Fault("redirect_file", "file: redirected on the same host"),
        Fault("redirect_foreign", "file: redirected to another host"),
        Fault("html_instead_of_image", "file: 200 with an HTML page"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a fault strikes."""

    name: str
    rate: float = 1.0
    """Share of its occasions."""
    after: int = 0
    """Occasions that pass before the first one."""
    first: int | None = None
    """It strikes so often at most."""
    prompt_contains: str = ""
    """Only predictions with this text in their prompt."""
    seconds: float = 0.0
    """For faults that are measured in seconds."""

    def __post_init__(self) -> None:
        """Accept what can be done.

        Raises:
            ValueError: An unknown name or a number out of its range.
        """
        if self.name not in FAULTS:
            raise ValueError(f"{self.name!r} is no fault; there are {', '.join(FAULTS)}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"{self.name}: a rate lies between 0 and 1, not {self.rate:g}")
        if self.after < 0 or self.seconds < 0 or (self.first is not None and self.first < 0):
            raise ValueError(f"{self.name}: numbers are not negative")
        if self.seconds > MOST_SECONDS:
            raise ValueError(f"{self.name}: at most {MOST_SECONDS:,} seconds, not {self.seconds:g}")


def build_rule(name: str, number: float | None = None, **more: Any) -> Rule:
    """The rule of a fault with its own number: a share, seconds, or creates.

    Raises:
        ValueError: An unknown name or a number out of its range.
    """
    fault = FAULTS.get(name)
    value = fault.usual if fault and number is None else number or 0.0
    # `nan:` and `inf` pass float() and would never strike, or always.
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value:g} is no number that can be used")
    match fault.number if fault else Meaning.SHARE:
        case Meaning.SECONDS:
            return Rule(name=name, **{"seconds": value, **more})
        case Meaning.CREATES:
            return Rule(name=name, **{"after": int(value), **more})
        case _:
            return Rule(name=name, **{"rate": value, **more})


def parse_rule(text: str) -> Rule:
    """The rule of `NAME` or `NAME:NUMBER`.

    Raises:
        ValueError: It is neither.
    """
    name, colon, number = text.partition(":")
    try:
        value = float(number) if colon else None
    except ValueError:
        raise ValueError(f"{text!r}: {number!r} is no number; write NAME or NAME:NUMBER") from None
    return build_rule(name, value)


def list_faults() -> list[str]:
    """The faults as columns: name, what its number says and is where none is given, what a client sees."""
    rows = [(fault.name, f"{fault.number}={fault.usual:g}", fault.shows) for fault in FAULTS.values()]
    return align_columns([("fault", "number", "shows"), *rows]).splitlines()


@dataclass(slots=True)
class FaultPlan:
    """The rules in force, what they have done, and the one decision: does it strike now?"""

    seed: int
    rules: dict[str, Rule] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    """The number of strikes of each fault so far, under all rules."""
    _strikes: Counter[str] = field(default_factory=Counter)
    _occasions: Counter[str] = field(default_factory=Counter)
    _of_subject: Counter[tuple[str, str]] = field(default_factory=Counter)

    def replace(self, rules: Iterable[Rule]) -> None:
        """Put other rules in force; their counting begins anew."""
        # By name: a fault has one rule, and the last one named wins.
        self.rules = {item.name: item for item in rules}
        self._strikes.clear()
        self._occasions.clear()

    def strikes(self, name: str, subject: str, prompt: str = "") -> Rule | None:
        """The rule if the fault strikes on this occasion.

        What strikes follows from the seed, the subject and how often the subject came up, not from what else goes on:
        concurrent requests in another order meet the same faults.
        """
        found = self.rules.get(name)
        if found is None or found.prompt_contains not in prompt:
            return None
        # Counted before the dice, so that `after` counts occasions and not strikes.
        self._occasions[name] += 1
        self._of_subject[name, subject] += 1
        spent = found.first is not None and self._strikes[name] >= found.first
        if spent or self._occasions[name] <= found.after or not self._drawn(found, subject):
            return None
        self._strikes[name] += 1
        self.struck[name] += 1
        return found

    def _drawn(self, found: Rule, subject: str) -> bool:
        return (
            found.rate >= 1 or draw(self.seed, found.name, subject, self._of_subject[found.name, subject]) < found.rate
        )
