"""The batch's table as CSV or JSONL: the same rows and columns as `metadata.parquet`, failed jobs too.

A null is an empty cell in CSV and `null` in JSONL; instants are ISO 8601 in UTC; `backend_opts` and `extra` are JSON text, as in
the table.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any, TextIO

from tasks.metadata.columns import COLUMNS, build_plain_row
from tasks.metadata.exports.selection import SelectedJobs

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")
"""A spreadsheet takes a cell that begins so for a formula, which may send the sheet's content anywhere; some take full-width signs as well."""


async def write_csv(jobs: SelectedJobs, file: TextIO, *, raw_cells: bool = False) -> int:
    """Write a header and one line for each job, as RFC 4180 has it.

    Args:
        jobs: Of the batch.
        file: It is written here.
        raw_cells: Write texts as they are; otherwise those that a spreadsheet takes for formulas begin with an apostrophe.

    Returns:
        The number of jobs.
    """
    # Prompts are strangers' texts, and a sheet runs what looks like a formula.
    guard: Callable[[Any], Any] = (lambda value: value) if raw_cells else disarm_formula
    # Line ends of RFC 4180: with them a lone carriage return in a prompt is quoted too.
    writer = csv.DictWriter(file, [column.name for column in COLUMNS], lineterminator="\r\n")
    writer.writeheader()
    rows = 0
    async for page in jobs.read_pages():
        writer.writerows({name: guard(value) for name, value in build_plain_row(row).items()} for row in page)
        rows += len(page)
    return rows


def disarm_formula(value: Any) -> Any:
    """The cell with an apostrophe in front where a spreadsheet would take it for a formula; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


async def write_jsonl(jobs: SelectedJobs, file: TextIO) -> int:
    """Write one JSON object a line for each job; gives the number of jobs."""
    rows = 0
    async for page in jobs.read_pages():
        file.writelines(json.dumps(build_plain_row(row), ensure_ascii=False) + "\n" for row in page)
        rows += len(page)
    return rows
