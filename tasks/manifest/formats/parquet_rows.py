"""Rows of Parquet files, read in record batches; columns that are left out are not read at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.records import Problem
from tasks.core.text import locate_byte
from tasks.manifest.columns import RawRow
from tasks.manifest.header import check_header
from tasks.manifest.names import find_alias, fold_name, holds_prompts
from tasks.manifest.reading import IGNORE, Findings, ReadOptions
from tasks.manifest.source import ManifestFile

BATCH_ROWS = 1_000
BUFFER_BYTES = 1024 * 1024
MOST_CATEGORY_BYTES = 128 * 1024 * 1024
"""Of a column of categories in one row group, unpacked; in memory it takes up to twice as much."""
HOLDS_BYTES = f"{IGNORE}:it holds bytes, which are not carried along"


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a Parquet manifest; a line is the number of a row, from 1."""
    number = 0
    try:
        # Read in pieces: a row group of a gigabyte would be held as it lies in the file.
        with pq.ParquetFile(file.path, buffer_size=BUFFER_BYTES, pre_buffer=False) as table:
            schema = table.schema_arrow
            if problem := check_header(schema.names, file.display, None, options):
                yield problem
                return
            if problem := _find_images(schema, file.display, options):
                yield problem
                return
            wanted = _choose_columns(schema, options, findings)
            if problem := _find_large_categories(table.metadata, schema, wanted, file.display):
                yield problem
                return
            # Columns that hold images are not even read: they are most of the file.
            for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                if (problem := _find_bad_text(batch, number, file.display)) is not None:
                    yield problem
                    return
                for cells in batch.to_pylist():
                    number += 1
                    yield RawRow(number, cells)
    except (pa.ArrowException, OSError, ValueError, ArithmeticError, LookupError) as exc:
        # Beside damage: text that is no text, a date or a time zone that Python does not know.
        reason = next(iter(str(exc).splitlines()), type(exc).__name__)
        yield Problem(file.display, number + 1 if number else None, None, f"is not readable Parquet ({reason})")


def _find_bad_text(batch: pa.RecordBatch, before: int, file: str) -> Problem | None:
    """The first cell that is not UTF-8: Parquet does not check what is called text."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            for row, cell in enumerate(column, before + 1):
                try:
                    cell.as_py()
                except UnicodeDecodeError as exc:
                    line, byte = locate_byte(exc.object, exc.start)
                    where = f"{byte} of its line {line}" if line > 1 else byte
                    return Problem(file, row, name, f"is not UTF-8 ({where}); write the column as UTF-8 text")
    return None


def _find_images(schema: pa.Schema, file: str, options: ReadOptions) -> Problem | None:
    """A column of ours that holds images themselves, as data sets keep them; only the user knows what it is for."""
    for field in schema:
        if find_alias(field.name) and fold_name(field.name) not in options.columns and _holds_bytes(field.type):
            # Spark and Hive write texts as bytes without a type; leaving out the prompts would leave nothing.
            remedy = (
                "write it as text (pyarrow: cast to string)"
                if holds_prompts([field.name])
                else f"leave it out with --ignore-columns {field.name}"
            )
            return Problem(file, None, field.name, f"holds images or other bytes, not texts or paths; {remedy}")
    return None


def _find_large_categories(metadata: Any, schema: pa.Schema, wanted: list[str], file: str) -> Problem | None:
    """A column of categories that would be held whole in memory: Arrow builds its dictionary for a row group at once."""
    categories = {name for name in wanted if pa.types.is_dictionary(schema.field(name).type)}
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in (row_group.column(index) for index in range(row_group.num_columns)):
            if column.path_in_schema in categories and column.total_uncompressed_size > MOST_CATEGORY_BYTES:
                return Problem(
                    file,
                    None,
                    column.path_in_schema,
                    f"holds more than {MOST_CATEGORY_BYTES // 2**20} MiB of categories in one row group; write it as plain "
                    "text (pandas: astype(str)), with smaller row groups, or leave it out with --ignore-columns",
                )
    return None


def _choose_columns(schema: pa.Schema, options: ReadOptions, findings: Findings) -> list[str]:
    wanted = []
    for field in schema:
        meaning = options.columns.get(fold_name(field.name), "")
        if _holds_bytes(field.type):
            findings.note_column(field.name, meaning if meaning.startswith(IGNORE) else HOLDS_BYTES)
        elif meaning.startswith(IGNORE):
            findings.note_column(field.name, meaning)
        else:
            wanted.append(field.name)
    return wanted


def _holds_bytes(kind: pa.DataType) -> bool:
    """True if bytes are anywhere in a value: they would be written out as text, at several times their size."""
    if (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    ):
        return True
    # Its type has no fields: the values' type is asked.
    if pa.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    return any(_holds_bytes(kind.field(index).type) for index in range(kind.num_fields))
