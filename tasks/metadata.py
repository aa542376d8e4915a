"""Step 6: `metadata.parquet`, the ledger's projection that other programs read.

Takes the ledger, gives one Parquet file with one row per job in manifest order, failed ones too. The schema
is explicit and every field says what it means; `datasets.load_dataset("imagefolder", data_dir=...)` and
DuckDB open the file as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.columns import COLUMNS, INSTANT, value_of
from tasks.ledger.queries import job_pages
from tasks.output import Output

FILE_NAME = "metadata.parquet"
SCHEMA_VERSION = "1"

_ARROW = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "double": pa.float64()} | {
    INSTANT: pa.timestamp("us", tz="UTC")
}


def arrow_columns(page: Sequence[RowMapping]) -> list[pa.Array[Any]]:
    """The columns of some rows of the ledger, in order."""
    return [pa.array([value_of(row, column) for row in page], type=_ARROW[column.type]) for column in COLUMNS]


SCHEMA = pa.schema(
    [pa.field(column.name, _ARROW[column.type], metadata={"description": column.description}) for column in COLUMNS],
    metadata={"imagen.metadata_version": SCHEMA_VERSION},
)


async def write_metadata(engine: AsyncEngine, out: Output) -> int:
    """Write the table; the old one stays until the new one is whole.

    Returns:
        The number of rows.

    Raises:
        BatchStopped: The disk or the storage takes no more; the old table is still there.
    """
    rows = 0
    async with out.replacing(FILE_NAME) as path:
        with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            async for page in job_pages(engine):
                writer.write_table(pa.table(arrow_columns(page), schema=SCHEMA))
                rows += len(page)
    return rows
