"""Rules of single rows: `keep`, `reject` and `reroll` in a row of a manifest go over those of the run, key by key.

A row's rule travels with its jobs, in `extra`: it decides no image, so it is no part of a job's identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tasks.core.configuration.mistakes import describe_first_mistake
from tasks.core.gates import MOST_EXPRESSION_CHARS, Gates, KeepBest, dump_layer, list_words, merge_gates
from tasks.core.identity import to_canonical_json

GATE_KEYS = ("keep", "reject", "reroll")
"""Parts of a rule, of a row as of a whole manifest."""
RULE = "imagen:rule"
"""Name of a row's rule among its jobs' other columns; a manifest can have no column of this name."""
MOST_ROW_RULES = 100
"""Different rules of one manifest; each keeps a database in memory open while a run decides."""
_CONSTANTS = frozenset({"true", "false", "null", "and", "or", "not", "is", "in", "between", "like", "glob", "case"})


def parse_keep(value: Any) -> dict[str, Any]:
    """The `keep` of a row, as an object or as its JSON; what it leaves out is the run's.

    Raises:
        ValueError: It is none.
    """
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict) or not parsed:
        raise ValueError(f'is no rule; write an object, as {{"by": "sharpness", "best": 1}}{_HINT}')
    try:
        KeepBest.model_validate({"by": "any", **parsed})
    except ValidationError as exc:
        raise ValueError(describe_first_mistake(exc)) from None
    return parsed


def parse_reject(value: Any) -> str:
    """The `reject` of a row: a condition over scores and columns.

    Raises:
        ValueError: It is none.
    """
    text = value.strip() if isinstance(value, str) else ""
    # A column of labels, 0 and 1, would reject all or nothing in silence.
    if not {*list_words(text)} - _CONSTANTS and '"' not in text:
        raise ValueError(f"is no condition over scores or columns, as blank or sharpness < 20{_HINT}")
    if len(text) > MOST_EXPRESSION_CHARS:
        raise ValueError(f"is {len(text):,} characters long; at most {MOST_EXPRESSION_CHARS:,} are read")
    return text


_HINT = "; if the column is your own, say so under `columns:` with carry"


def spread_rule(extra: Mapping[str, Any]) -> dict[str, Any]:
    """The other columns of a row with its rule as the columns that it was written in."""
    rule = extra.get(RULE)
    return {name: value for name, value in extra.items() if name != RULE} | (rule if isinstance(rule, dict) else {})


class RowGates:
    """The rules that hold for the rows of a run."""

    def __init__(self, run: Gates) -> None:
        """`run` holds for rows without a rule of their own, and for what a row's rule leaves out."""
        self.run = run
        self._known: dict[str, Gates] = {}

    def find(self, extra: Mapping[str, Any]) -> Gates:
        """The rule of a row with these other columns.

        Raises:
            ConfigError: With the run's it is no rule.
        """
        layer = extra.get(RULE)
        if layer is None or not isinstance(layer, Mapping):
            return self.run
        key = to_canonical_json(layer)
        if (known := self._known.get(key)) is None:
            known = self._known[key] = merge_gates(dump_layer(self.run), layer)
        return known

    def find_in_text(self, extra: str) -> Gates:
        """The same of a row of the ledger, whose other columns are JSON."""
        # Most rows have none, and parsing every one would cost more than all the rest.
        return self.find(json.loads(extra)) if f'"{RULE}"' in extra else self.run
