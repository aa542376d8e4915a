"""The results of a blind comparison as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.core.text import align_columns, format_count

COUNTS = ("comparisons", "won", "tied", "lost")
NUMBERS = (*COUNTS, "win rate", "rating")


def format_results(record: Mapping[str, Any]) -> list[str]:
    """Lines for people."""
    answers, reviewers = format_count(record["answers"], "answer"), format_count(len(record["reviewers"]), "reviewer")
    done = f"{record['compared']:,} compared in {answers} of {reviewers}, {record['skipped']:,} skipped"
    lines = [f"{format_count(record['pairs'], 'pair')}: {done}"]
    lines += _list_unpaired(record)
    if not record["answers"]:
        return [*lines, "Nothing is compared yet. Add --review to begin."]
    models = [(row["model"], *_spell_counts(row), _spell_rating(row)) for row in record["models"]]
    lines += ["", align_columns([("model", *COUNTS, "win rate", "rating"), *models], numbers=NUMBERS)]
    if record["columns"]:
        split = [(row["column"], row["value"], row["model"], *_spell_counts(row)) for row in record["columns"]]
        lines += ["", align_columns([("column", "value", "model", *COUNTS, "win rate"), *split], numbers=NUMBERS)]
    return [*lines, "", "In brackets: intervals of 95 %. A tie is half a win. Ratings: 400 points are odds of 10 to 1."]


def _list_unpaired(record: Mapping[str, Any]) -> Iterator[str]:
    if alone := record["without_counterpart"]:
        yield f"not compared: {format_count(alone, 'image')} without a counterpart"
    if equal := record["equal_files"]:
        yield f"not compared: {format_count(equal, 'pair')} of equal files"


def _spell_counts(row: Mapping[str, Any]) -> tuple[str, ...]:
    rate = "-"
    if row["win_rate"] is not None:
        rate = f"{row['win_rate']:.0%} ({row['win_rate_low']:.0%} to {row['win_rate_high']:.0%})"
    return (*(f"{row[name]:,}" for name in COUNTS), rate)


def _spell_rating(row: Mapping[str, Any]) -> str:
    if row["rating"] is None:
        return "-"
    return f"{row['rating']:.0f} ({row['rating_low']:.0f} to {row['rating_high']:.0f})"
