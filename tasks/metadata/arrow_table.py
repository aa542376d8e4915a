"""The batch's table in Arrow: an explicit schema in which every field says what it means, and its Parquet file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import RowMapping

from tasks.metadata.columns import COLUMNS, INSTANT, READERS


class NoPandas(MetaPathFinder):
    """Makes it as if pandas were not installed, while this stands in `sys.meta_path`."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Let the other finders look for everything else.

        Raises:
            ModuleNotFoundError: It is pandas.
        """
        if fullname == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def convert_without_pandas() -> None:
    """Have PyArrow take Python values as they are, without a look for pandas that takes longer than a whole small run.

    Whoever then asks for a DataFrame gets one: PyArrow looks again.
    """
    hidden = NoPandas()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([None])  # the first conversion of a process looks for it
    finally:
        sys.meta_path.remove(hidden)


convert_without_pandas()

SCHEMA_VERSION = "1"

_ARROW = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
} | {INSTANT: pa.timestamp("us", tz="UTC")}
SCHEMA = pa.schema(
    [pa.field(column.name, _ARROW[column.type], metadata={"description": column.description}) for column in COLUMNS],
    metadata={"imagen.metadata_version": SCHEMA_VERSION},
)


def build_arrow_columns(page: Sequence[RowMapping]) -> list[pa.Array[Any]]:
    """The columns of some rows of the ledger, in order."""
    return [pa.array([read(row) for row in page], type=_ARROW[column.type]) for column, read in READERS]


@contextmanager
def open_parquet_table(path: Path) -> Iterator[Callable[[Sequence[RowMapping]], None]]:
    """A new Parquet file for the duration of the block; what is given appends rows of the ledger."""
    # The schema is explicit: guessed from a page, a column of nulls would change its type in the next one.
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        yield lambda page: writer.write_table(pa.table(build_arrow_columns(page), schema=SCHEMA))
