"""The line of a table that names its columns: what is wrong with it, and where it stands below a title."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tasks.core.records import Problem
from tasks.manifest.named_columns import explain_unmet_prompt
from tasks.manifest.names import NAMES, fold_name, has_column, holds_prompts
from tasks.manifest.reading import ReadOptions

MOST_COLUMNS = 2_000
"""Of one row. A table with more has its rows and columns swapped, or keys for columns."""
_PROSE = re.compile(r"\d+$|(?:\S+\s+){3}")
"""A number, or four words: no name of a column."""
TITLE_ROWS = 10
"""Rows at the top of a table that are searched for its header."""


def check_header(names: Sequence[str], file: str, line: int | None, options: ReadOptions) -> Problem | None:
    """Find what is wrong with the names of a table's columns."""
    # Before the names are compared: a transposed table has a name for each of its rows.
    if len(names) > MOST_COLUMNS:
        return Problem(file, line, None, f"has {len(names):,} columns; at most {MOST_COLUMNS:,} are read")
    if twice := {name for name, times in Counter(names).items() if name and times > 1}:
        return Problem(file, line, min(twice), "This column appears twice; rename or delete one of them")
    if not has_prompts(names, options):
        return explain_lack(names, file, line, options.prompt_column)
    return None


def explain_lack(names: Sequence[str], file: str, line: int | None, wanted: str | None = None) -> Problem:
    """The problem of rows that have no column of prompts, or not the one that is wanted, with the names that they have."""
    if wanted is not None:
        return Problem(file, line, None, explain_unmet_prompt(wanted, names))
    found, wanted = ", ".join(names[:20]) or "none", ", ".join(NAMES["prompt"])
    message = f"no column holds the prompts; found: {found}; call one {wanted}, or name it with --prompt-column"
    # To name the first prompt as the column would leave that image out.
    if any(_PROSE.match(name) for name in names):
        message += "; if this is a row already, write a line with the names of the columns above it"
    return Problem(file, line, None, message)


def has_prompts(names: Sequence[str], options: ReadOptions) -> bool:
    """True if one of these names is the column of prompts: the one that the command line gives, else any."""
    if options.prompt_column is not None:
        return has_column(names, options.prompt_column)
    return holds_prompts(names) or any(options.columns.get(fold_name(name)) == "prompt" for name in names)


def may_be_header(names: Sequence[str], options: ReadOptions) -> bool:
    """True if these look like the names of columns, though the one that the user names may be misspelt."""
    return holds_prompts(names) or has_prompts(names, options)


def find_header(rows: Sequence[Sequence[str]], options: ReadOptions) -> int:
    """The index of the row that names the columns: the first, unless only titles stand before another one.

    A title fills one cell. A row with more of them is a table's first row, whatever stands below it.
    """
    for index, row in enumerate(rows[:TITLE_ROWS]):
        filled = [cell for cell in row if cell.strip()]
        # A title above the header fills one cell.
        if len(filled) > 1:
            return index if may_be_header([cell.strip() for cell in row], options) else 0
    return 0


def describe_titles(line: int) -> str:
    """Tell that the rows before the header were left out."""
    return f"the columns are named on line {line}; what stands before it was left out"
