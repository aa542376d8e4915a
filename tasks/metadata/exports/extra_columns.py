"""Columns that an expression may name beside the table's own: the manifest's, and results of scores.

Takes pages of the ledger, gives the names that an expression mentions with the type that they compare as.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping

from tasks.core.safe_text import sanitize_text
from tasks.ledger.scores import parse_results
from tasks.metadata.columns import COLUMNS

MOST_LISTED = 100
"""Names of the manifest's columns in a message."""

TABLE_COLUMNS = frozenset(column.name for column in COLUMNS)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MOST_INTEGER = 2**63 - 1


def read_extra(row: RowMapping) -> dict[str, Any]:
    """The manifest's own columns in a row of the ledger, in values that a database stores."""
    carried = json.loads(row["extra"])
    return {sanitize_text(name): _to_stored(value) for name, value in carried.items()}


def _to_stored(value: Any) -> Any:
    match value:
        case str():
            return sanitize_text(value)
        case int() if abs(value) > _MOST_INTEGER:
            return str(value)
        case None | int() | float():
            return value
        case _:
            return sanitize_text(json.dumps(value, ensure_ascii=False))


@dataclass
class ExtraColumns:
    """The manifest's columns that an expression may mean: their names and whether they hold numbers.

    Names compare as SQLite compares them, without case. The table's own columns come first, then results of scores.
    """

    expression: str
    names: dict[str, None] = field(default_factory=dict)
    """For messages: the first ones."""
    mentioned: dict[str, bool] = field(default_factory=dict)
    """Lower-case names to True where every value is a number, or is written like one."""
    scores: set[str] = field(default_factory=set)
    """Lower-case names of the results that are mentioned; those that no image has yet may be put in."""

    def add(self, page: Sequence[RowMapping]) -> None:
        """Add the columns of a page."""
        text = self.expression.lower()
        for row in page:
            for name, value in read_extra(row).items():
                if len(self.names) < MOST_LISTED:
                    self.names.setdefault(name)
                key = name.lower()
                if self._is_mentioned(key, text):
                    self.mentioned[key] = self.mentioned.get(key, True) and _is_number(value)
            if row["scores"]:
                names = parse_results(row["scores"])
                self.scores.update(name for name in names if name.islower() and self._is_mentioned(name, text))

    def list_types(self) -> dict[str, str]:
        """Names to the types by which SQLite compares them."""
        # A CSV file's numbers are texts: a column of them compares as numbers, or 9 would be more than 10.
        own = {name: "NUMERIC" if numeric else "TEXT" for name, numeric in self.mentioned.items()}
        # Results keep their own types: a hash of digits is no number.
        return own | dict.fromkeys(sorted(self.scores), "")

    def read_values(self, row: RowMapping) -> dict[str, Any]:
        """The row's own columns and results by lower-case name."""
        values = {name.lower(): value for name, value in read_extra(row).items()}
        results = parse_results(row["scores"]) if self.scores and row["scores"] else {}
        # Null where the image has no such result, whatever a column of that name holds.
        return values | dict.fromkeys(self.scores) | {name: results[name] for name in self.scores & results.keys()}

    @staticmethod
    def _is_mentioned(name: str, text: str) -> bool:
        # A manifest may have more columns than a table may: only those in the text can be meant.
        return name not in TABLE_COLUMNS and name.replace('"', '""') in text


def _is_number(value: Any) -> bool:
    # `0010` is a code, and would lose its zeros as a number.
    return not isinstance(value, str) or not value or _NUMBER.fullmatch(value) is not None
