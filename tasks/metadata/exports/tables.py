"""The batch's table as CSV or JSONL: the same rows and columns as `metadata.parquet`, failed jobs too.

A null is an empty cell in CSV and `null` in JSONL; instants are ISO 8601 in UTC; `backend_opts` and `extra` are JSON text, as in
the table.
"""

from __future__ import annotations

import csv
import json
from typing import TextIO

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.ledger.queries import read_job_pages
from tasks.metadata.columns import COLUMNS, build_plain_row


async def write_csv(engine: AsyncEngine, file: TextIO) -> int:
    """Write a header and one line for each job, as RFC 4180 has it; gives the number of jobs."""
    # Line ends of RFC 4180: with them a lone carriage return in a prompt is quoted too.
    writer = csv.DictWriter(file, [column.name for column in COLUMNS], lineterminator="\r\n")
    writer.writeheader()
    rows = 0
    async for page in read_job_pages(engine):
        writer.writerows(build_plain_row(row) for row in page)
        rows += len(page)
    return rows


async def write_jsonl(engine: AsyncEngine, file: TextIO) -> int:
    """Write one JSON object a line for each job; gives the number of jobs."""
    rows = 0
    async for page in read_job_pages(engine):
        file.writelines(json.dumps(build_plain_row(row), ensure_ascii=False) + "\n" for row in page)
        rows += len(page)
    return rows
