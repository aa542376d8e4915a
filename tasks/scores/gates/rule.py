"""The rule of a run: the scores that it needs, the condition for rejecting, and the decision about one pool of images.

A pool is what competes for the images that are asked for: a row with `keep`, else one sample; and its rerolls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from tasks.core.errors import ConfigError
from tasks.core.gates import Gates
from tasks.core.records import JobState
from tasks.ledger.scores import KEPT, KEPT_WHY, parse_results
from tasks.metadata.exports.extra_columns import TABLE_COLUMNS, ExtraColumns
from tasks.metadata.exports.where import RowFilter
from tasks.scores import find_scores

REJECTED, NOT_BEST = "rejected", "not among the best"
_WORD = re.compile(r"'(?:[^']|'')*'|([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a pool."""

    kept: Mapping[str, str | None]
    """By job_id of each image: None where it is kept, else why not."""
    rerolls: int
    """Further images to make now."""
    missing: int
    """Images that are asked for, not there, and not to be had by another reroll of this pool."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule, ready to be asked."""

    gates: Gates
    scores: tuple[str, ...]
    """Names of the scores that it needs."""
    condition: RowFilter | None
    """True for images that are rejected."""

    def find_rejected(self, rows: Sequence[RowMapping]) -> set[str]:
        """The job ids of the rows that are rejected. An unknown result (null) rejects nothing.

        Raises:
            InputError: The condition cannot be evaluated.
        """
        return set() if self.condition is None else self.condition.match(rows)

    def decide(
        self, originals: Sequence[RowMapping], rerolls: Sequence[RowMapping], rejected: set[str], *, is_scored: bool
    ) -> Decision:
        """Decide about the images of a pool that have landed; rerolls wait until none of its jobs is open.

        Args:
            originals: Jobs of the pool from the manifest.
            rerolls: Jobs that were made for it.
            rejected: See `find_rejected`.
            is_scored: All images have been looked at; else those without results are still to be.
        """
        jobs = [*originals, *rerolls]
        made = [row for row in jobs if row["state"] == JobState.SUCCEEDED]
        # An image that landed a moment ago has no results yet, and would pass every condition.
        images = made if is_scored or not self.scores else [row for row in made if row["scores"]]
        passing = [row for row in images if row["job_id"] not in rejected]
        wanted = self.gates.count_wanted(len(originals))
        # Stable: of equal images the first one of the row is kept.
        ranked = sorted(passing, key=self._rank, reverse=True)
        best = {row["job_id"] for row in ranked[:wanted]}
        why = {row["job_id"]: REJECTED if row["job_id"] in rejected else NOT_BEST for row in images}
        kept = {name: None if name in best else reason for name, reason in why.items()}
        is_open = len(images) < len(made) or any(JobState(row["state"]).is_open for row in jobs)
        short = wanted - len(best)
        # Without a rejected image nothing is made again: what failed has rules of its own.
        if is_open or short <= 0 or len(passing) == len(images):
            return Decision(kept, 0, 0)
        left = max(0, wanted * self.gates.reroll - len(rerolls))
        return Decision(kept, min(short, left), max(0, short - left))

    def _rank(self, row: RowMapping) -> float:
        if self.gates.keep is None:
            return 0.0
        value = parse_results(row["scores"]).get(self.gates.keep.by)
        # An image without that number is worse than any other.
        return float("-inf") if value is None or isinstance(value, str) else float(value)


def find_needed_scores(gates: Gates) -> tuple[str, ...]:
    """Names of the scores whose results the rule mentions.

    Raises:
        ConfigError: `by` is the result of no score.
    """
    known = find_scores()
    needed = [] if gates.reject is None else [find_score(word, known) for word in _list_words(gates.reject)]
    if gates.keep is not None:
        needed.append(by := find_score(gates.keep.by, known))
        if by is None:
            raise ConfigError(
                f"keep: by: {gates.keep.by!r} is the result of no score; there are: {', '.join(sorted(known))}"
            )
    return tuple(dict.fromkeys(name for name in needed if name is not None))


def find_judge(gates: Gates, judges: Iterable[str], own_columns: Iterable[str]) -> str | None:
    """The judge whose answer the rule mentions; None where it mentions none."""
    words = [*_list_words(gates.reject or ""), *(() if gates.keep is None else (gates.keep.by,))]
    # A column of the manifest may have such a name as well.
    own = {name.lower() for name in own_columns}
    names = list(judges)
    return next((name for word in words if word not in own and (name := find_score(word, names))), None)


def find_score(result: str, known: Iterable[str]) -> str | None:
    """The score that gives this result, by its name; None where it is none's."""
    found = [name for name in known if result == name or result.startswith(f"{name}_")]
    return max(found, key=len, default=None)


def build_rule(gates: Gates, own_columns: Iterable[str]) -> Rule:
    """The rule over a manifest with these columns of its own; close its condition after use.

    Raises:
        ConfigError: `by` is the result of no score.
        InputError: The condition cannot be understood.
    """
    scores = find_needed_scores(gates)
    if gates.reject is None:
        return Rule(gates, scores, None)
    words = _list_words(gates.reject)
    extra = ExtraColumns(gates.reject)
    # Before any image has them.
    extra.scores |= {word for word in words if word not in TABLE_COLUMNS and find_score(word, scores)}
    extra.names |= dict.fromkeys(own_columns)
    # Compared as numbers where they look like numbers: the rows are not read for it.
    lower = gates.reject.lower()
    extra.mentioned |= {
        name.lower(): True for name in extra.names if name.lower() in lower and name.lower() not in TABLE_COLUMNS
    }
    return Rule(gates, scores, RowFilter(gates.reject, extra, "reject"))


def needs_own_columns(gates: Gates) -> bool:
    """True where the condition may mean columns of the manifest."""
    words = () if gates.reject is None else _list_words(gates.reject)
    known = find_scores()
    return '"' in (gates.reject or "") or any(
        word not in TABLE_COLUMNS and not find_score(word, known) for word in words
    )


def _list_words(expression: str) -> list[str]:
    """Everything in the expression that may be a name, in lower case; its texts are skipped."""
    return [word.lower() for word in _WORD.findall(expression) if word]


def spell_result(kept: str | None) -> dict[str, Any]:
    """A decision about an image as the ledger keeps it."""
    return {KEPT: True} if kept is None else {KEPT: False, KEPT_WHY: kept}
