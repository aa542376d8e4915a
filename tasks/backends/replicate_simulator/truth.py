"""The truth of a rehearsal: created, billed, created twice, and who asked for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.backends.replicate_simulator.outcomes import CANCELED
from tasks.backends.replicate_simulator.predictions import Prediction
from tasks.core.money import MICROS_PER_USD


@dataclass(slots=True)
class Tally:
    """Counts that grow while requests come in."""

    requests: Counter[str] = field(default_factory=Counter)
    """By kind: create, get, list, cancel, model, account, delivery, foreign, other."""
    open_lists: int = 0
    """Pages of lists that were to end now (no `created_before`)."""
    throttled: Counter[str] = field(default_factory=Counter)
    """Answers of 429, by kind."""
    token_leaks: int = 0
    """Fetches of files that carried an Authorization header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The simulator's own account."""

    created: int
    billed: int
    """Predictions that cost something."""
    cost_usd: float
    distinct_inputs: int
    """Different pairs of model and input among what was created."""
    duplicates: int
    """Predictions created beyond one for each distinct input; a new attempt after a failure is one too."""
    duplicates_billed: int
    """Predictions billed beyond one for each distinct input: 0 when nothing was paid for twice."""
    repeated_inputs: dict[str, int]
    """The number of creates of each input that was created more than once."""
    by_status: dict[str, int]
    canceled_billed: int
    """Canceled predictions that had started."""
    highest_in_flight: int
    """Predictions that had not ended, at most, at one instant."""
    created_at_s: list[float]
    """Instants of the creations, simulated seconds since 1970 UTC."""
    requests: dict[str, int]
    requests_total: int
    open_lists: int
    """Pages of lists without `created_before`: a client that looks for a lost create has to read on up to now."""
    throttled: dict[str, int]
    token_leaks: int
    faults: dict[str, int]
    """The number of strikes of each fault."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def build_truth(predictions: Sequence[Prediction], tally: Tally, struck: Counter[str], now_s: float) -> Truth:
    """The account at an instant."""
    contents = Counter(item.request.content for item in predictions)
    costs = [(item, item.cost_micros(now_s)) for item in predictions]
    billed = [item for item, cost in costs if cost]
    return Truth(
        created=len(predictions),
        billed=len(billed),
        cost_usd=sum(cost for _, cost in costs) / MICROS_PER_USD,
        distinct_inputs=len(contents),
        duplicates=len(predictions) - len(contents),
        # A prediction that cost nothing is no duplicate that somebody paid for.
        duplicates_billed=len(billed) - len({item.request.content for item in billed}),
        repeated_inputs={content: times for content, times in contents.items() if times > 1},
        by_status=dict(Counter(item.status(now_s) for item in predictions)),
        canceled_billed=sum(1 for item in billed if item.status(now_s) == CANCELED),
        highest_in_flight=_find_highest_in_flight(predictions),
        created_at_s=[item.created_s for item in predictions],
        requests=dict(tally.requests),
        requests_total=tally.requests.total(),
        open_lists=tally.open_lists,
        throttled=dict(tally.throttled),
        token_leaks=tally.token_leaks,
        faults=dict(struck),
    )


def _find_highest_in_flight(predictions: Iterable[Prediction]) -> int:
    """At an instant at which one ends and another begins, both count as one."""
    changes = sorted(change for item in predictions for change in ((item.created_s, 1), (item.ended_s, -1)))
    highest = running = 0
    for _, change in changes:
        running += change
        highest = max(highest, running)
    return highest
