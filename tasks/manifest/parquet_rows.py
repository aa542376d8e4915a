"""Rows of Parquet files, read in record batches."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow, check_header
from tasks.manifest.source import Manifest

BATCH_ROWS = 1_000


def read_rows(manifest: Manifest) -> Iterator[RawRow | Problem]:
    """The rows of a Parquet manifest; a line is the number of a row, from 1."""
    number = 0
    try:
        with pq.ParquetFile(manifest.path) as table:
            if problem := check_header(table.schema_arrow.names, manifest.display, None):
                yield problem
                return
            for batch in table.iter_batches(batch_size=BATCH_ROWS):
                for cells in batch.to_pylist():
                    number += 1
                    yield RawRow(number, cells)
    except (pa.ArrowException, OSError, ValueError, ArithmeticError, LookupError) as exc:
        # Beside damage: text that is no text, a date or a time zone that Python does not know.
        reason = next(iter(str(exc).splitlines()), type(exc).__name__)
        yield Problem(manifest.display, number + 1 if number else None, None, f"is not readable Parquet ({reason})")
