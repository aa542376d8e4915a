"""Numbers of scores for the summary: by model, and by each column of the manifest that has few values."""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.core.safe_text import sanitize_text
from tasks.ledger.scores import KEPT, parse_results
from tasks.plan.reroll import LINK

MODEL = "model"
MOST_COLUMNS, MOST_VALUES = 8, 10
"""Of the manifest's columns, and of different values in one: more makes no plot that can be read."""
MOST_VALUE_CHARS = 100


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """Grows with `add`; eight bytes for each image, number and column."""

    groups: dict[tuple[str, str], dict[str, array[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: array("d")))
    )
    """By result and column, then by the column's value; yes counts as 1 and no as 0."""
    answers: set[str] = field(default_factory=set)
    """Results that are yes or no."""
    _values: dict[str, set[str]] = field(default_factory=dict)
    """Of each column of the manifest that is looked at."""
    _diverse: set[str] = field(default_factory=set)
    """Columns with too many values."""

    def add(self, job: Mapping[str, Any]) -> None:
        """Take in the results of an image."""
        results = parse_results(job["scores"])
        numbers = {name: value for name, value in results.items() if isinstance(value, int | float) and name != KEPT}
        if not numbers:
            return
        self.answers.update(name for name, value in numbers.items() if isinstance(value, bool))
        columns = {MODEL: job["model"] or job["backend"], **self._read_columns(job)}
        for name, value in numbers.items():
            for column, group in columns.items():
                self.groups[name, column][group].append(value)

    def list_groups(self) -> Iterator[tuple[str, str, dict[str, array[float]]]]:
        """Result, column and numbers by value: each result by model, then by the columns that set images apart."""
        for name, column in sorted(self.groups, key=lambda key: (key[0], key[1] != MODEL, key[1])):
            found = self.groups[name, column]
            if column == MODEL or len(found) > 1:
                yield name, column, found

    def build_table(self) -> list[dict[str, Any]]:
        """The means as the page shows them; of yes and no, the share of yes."""
        return [
            {"score": name, "by": column, "value": value, "images": len(numbers), "mean": sum(numbers) / len(numbers)}
            for name, column, found in self.list_groups()
            for value, numbers in sorted(found.items())
        ]

    def _read_columns(self, job: Mapping[str, Any]) -> dict[str, str]:
        carried = json.loads(job.get("extra") or "{}")
        found = {}
        for name, value in carried.items():
            column = sanitize_text(name)
            # A text or number; lists and objects set nothing apart.
            if column in {MODEL, LINK} or column in self._diverse or not isinstance(value, str | int | float):
                continue
            if column not in self._values and len(self._values) >= MOST_COLUMNS:
                continue
            values = self._values.setdefault(column, set())
            values.add(shown := sanitize_text(str(value))[:MOST_VALUE_CHARS])
            if len(values) > MOST_VALUES:
                self._drop(column)
            elif shown:
                found[column] = shown
        return found

    def _drop(self, column: str) -> None:
        del self._values[column]
        self._diverse.add(column)
        for key in [key for key in self.groups if key[1] == column]:
            del self.groups[key]
