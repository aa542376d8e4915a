"""Results of a blind comparison: for each model, and for each value of a manifest's column."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.ledger.comparing.answers import Comparison
from tasks.report.blind.pairs import Pair, Unpaired
from tasks.report.blind.rating import estimate_win_rate, rate_models

MOST_VALUES = 20
"""Of a column that results are split by; a column of texts that never repeat says nothing."""
PLACES = {"win_rate": 4, "rating": 1}

Decision = tuple[Pair, float]
"""A pair, and what its first image got: 1, 0, or 0.5 in a tie."""
_SCORES = {"first": 1.0, "tie": 0.5, "second": 0.0}


def build_results(pairs: Mapping[str, Pair], answers: Sequence[Comparison], unpaired: Unpaired) -> dict[str, Any]:
    """The record that programs read, and the page's end.

    Args:
        pairs: The images that are compared.
        answers: All answers of the ledger; those about other files do not count.
        unpaired: The images that are in no pair.
    """
    known = {pair.files: pair for pair in pairs.values()}
    ours = [(known[answer.files], answer) for answer in answers if answer.files in known]
    decisions = [(pair, _SCORES[answer.answer]) for pair, answer in ours if answer.answer in _SCORES]
    return {
        "pairs": len(pairs),
        "without_counterpart": unpaired.alone,
        "equal_files": unpaired.equal,
        "compared": len({pair.key for pair, _ in decisions}),
        "answers": len(decisions),
        "skipped": len(ours) - len(decisions),
        "reviewers": sorted({answer.reviewer for _, answer in ours}),
        "models": _rate(pairs.values(), decisions),
        "columns": list(_split(pairs.values(), decisions)),
    }


def _rate(pairs: Iterable[Pair], decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    labels = sorted({label for pair in pairs for label in pair.labels})
    place = {label: number for number, label in enumerate(labels)}
    scores: dict[tuple[int, int], float] = defaultdict(float)
    for pair, score in decisions:
        first, second = (place[label] for label in pair.labels)
        scores[first, second] += score
        scores[second, first] += 1 - score
    ratings = rate_models(scores, len(labels))
    rows = [
        {**row, **_spell("rating", ratings[place[row["model"]]] if row["comparisons"] else None)}
        for row in _count(labels, decisions)
    ]
    return sorted(rows, key=lambda row: -(row["rating"] or 0))


def _split(pairs: Iterable[Pair], decisions: Sequence[Decision]) -> Iterable[dict[str, Any]]:
    values: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        for name, value in pair.first.columns.items():
            values[name].add(value)
    for name in sorted(name for name, found in values.items() if 1 < len(found) <= MOST_VALUES):
        groups: dict[str, list[Decision]] = defaultdict(list)
        for pair, score in decisions:
            if name in pair.first.columns:
                groups[pair.first.columns[name]].append((pair, score))
        for value in sorted(groups):
            labels = sorted({label for pair, _ in groups[value] for label in pair.labels})
            for row in _count(labels, groups[value]):
                yield {"column": name, "value": value, **row}


def _count(labels: Iterable[str], decisions: Sequence[Decision]) -> Iterable[dict[str, Any]]:
    counts: dict[str, Counter[float]] = defaultdict(Counter)
    for pair, score in decisions:
        for label, own in zip(pair.labels, (score, 1 - score), strict=True):
            counts[label][own] += 1
    for label in labels:
        won, tied, lost = (counts[label][own] for own in (1.0, 0.5, 0.0))
        total = won + tied + lost
        rate = _spell("win_rate", estimate_win_rate(won + tied / 2, total))
        yield {"model": label, "comparisons": total, "won": won, "tied": tied, "lost": lost, **rate}


def _spell(name: str, interval: tuple[float, float, float] | None) -> dict[str, float | None]:
    names = (name, f"{name}_low", f"{name}_high")
    if interval is None:
        return dict.fromkeys(names)
    return dict(zip(names, (round(value, PLACES[name]) for value in interval), strict=True))
