"""The rule of a run: the scores that it needs, the condition for rejecting, and the decision about one pool of images.

A pool is what competes for the images that are asked for: a row with `keep`, else one sample; and its rerolls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from tasks.core.errors import ConfigError
from tasks.core.gates import Gates, find_score, list_words
from tasks.core.records import JobState
from tasks.ledger.scores import KEPT, KEPT_WHY, parse_results
from tasks.metadata.exports.extra_columns import TABLE_COLUMNS, ExtraColumns
from tasks.metadata.exports.where import RowFilter
from tasks.scores import find_scores

REJECTED, NOT_BEST = "rejected", "not among the best"
_CERTAIN = frozenset({"and", "or", "not", "between", "in", "like", "glob", "true", "false"})
"""Words that make a true condition of no unknown result: what is true without it stays true with it."""
_GROWING = frozenset({"scores", "kept", "cost_usd", "cost_source"})
"""Columns that change when a further score comes."""


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
    is_certain: bool = False
    """The condition never turns false by a result that is still to come: what it rejects needs no further score."""

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
        images = made if is_scored else [row for row in made if self._is_known(row, rejected)]
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

    def _is_known(self, row: RowMapping, rejected: set[str]) -> bool:
        if self.is_certain and row["job_id"] in rejected:
            return True
        found = {find_score(result, self.scores) for result in parse_results(row["scores"])}
        return found.issuperset(self.scores)

    def _rank(self, row: RowMapping) -> float:
        if self.gates.keep is None:
            return 0.0
        value = parse_results(row["scores"]).get(self.gates.keep.by)
        # An image without that number is worse than any other.
        return float("-inf") if value is None or isinstance(value, str) else float(value)


def find_needed_scores(gates: Gates, judges: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the scores and judges whose results the rule mentions.

    Raises:
        ConfigError: `by` is the result of no score.
    """
    if not gates.is_set:
        return ()  # without a look at what else is installed: that reads the metadata of every package
    known = {*find_scores(), *judges}
    words = [] if gates.reject is None else list_words(gates.reject)
    needed = [find_score(word, known) for word in words if word not in TABLE_COLUMNS]
    if gates.keep is not None:
        needed.append(by := find_score(gates.keep.by, known))
        if by is None:
            raise ConfigError(
                f"keep: by: {gates.keep.by!r} is the result of no score; there are: {', '.join(sorted(known))}"
            )
    return tuple(dict.fromkeys(name for name in needed if name is not None))


def check_judge_names(gates: Gates, judges: Collection[str], own_columns: Iterable[str]) -> None:
    """Check that no name in the rule means both a judge, who costs money, and a column.

    Raises:
        ConfigError: One does.
    """
    columns = {name.lower() for name in own_columns} | TABLE_COLUMNS
    for word in list_words(gates.reject or ""):
        if word in columns and (judge := find_score(word, judges)) is not None:
            raise ConfigError(f"reject: {word!r} is a column and a result of the judge {judge!r}; rename the judge")


def build_rule(gates: Gates, own_columns: Iterable[str], judges: Collection[str] = ()) -> Rule:
    """The rule over a manifest with these columns of its own; close its condition after use.

    Args:
        gates: The rule.
        own_columns: Columns of the manifest.
        judges: Names of the judges that are configured.

    Raises:
        ConfigError: `by` is the result of no score.
        InputError: The condition cannot be understood.
    """
    scores = find_needed_scores(gates, judges)
    if gates.reject is None:
        return Rule(gates, scores, None)
    words = list_words(gates.reject)
    extra = ExtraColumns(gates.reject)
    # Before any image has them.
    extra.scores |= {word for word in words if word not in TABLE_COLUMNS and find_score(word, scores)}
    extra.names |= dict.fromkeys(own_columns)
    # Compared as numbers where they look like numbers: the rows are not read for it.
    lower = gates.reject.lower()
    extra.mentioned |= {
        name.lower(): True for name in extra.names if name.lower() in lower and name.lower() not in TABLE_COLUMNS
    }
    names = TABLE_COLUMNS - _GROWING | extra.scores | extra.mentioned.keys()
    return Rule(gates, scores, RowFilter(gates.reject, extra, "reject"), {*words} <= names | _CERTAIN)


def needs_own_columns(gates: Gates, judges: Collection[str] = ()) -> bool:
    """True where the condition may mean columns of the manifest."""
    words = () if gates.reject is None else list_words(gates.reject)
    known = {*find_scores(), *judges}
    return '"' in (gates.reject or "") or any(
        word not in TABLE_COLUMNS and not find_score(word, known) for word in words
    )


def spell_result(kept: str | None) -> dict[str, Any]:
    """A decision about an image as the ledger keeps it."""
    return {KEPT: True} if kept is None else {KEPT: False, KEPT_WHY: kept}
