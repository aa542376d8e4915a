"""Step 6: `metadata.parquet`, the ledger's projection that other programs read.

Takes the ledger, gives one Parquet file with one row per job in manifest order, failed ones too. The schema
is explicit and every field says what it means; `datasets.load_dataset("imagefolder", data_dir=...)` and
DuckDB open the file as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.identity import prompt_hash
from tasks.ledger.queries import job_pages
from tasks.output import Output
from tasks.records import usd

FILE_NAME = "metadata.parquet"
SCHEMA_VERSION = "1"
INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    name: str
    type: pa.DataType
    description: str


# No column may be called `image` (it would replace the pictures in an imagefolder), none may be a map
# (an imagefolder refuses it). Source: the `datasets` library, folder_based_builder, read 2026-11.
COLUMNS = (
    Column("file_name", pa.string(), "path of the image, relative to this file; null while there is none"),
    Column("job_id", pa.string(), "identity of the picture: sha256 of what decides it"),
    Column("id", pa.string(), "the row's own id"),
    Column("line", pa.int64(), "line (Parquet: row) of the manifest"),
    Column("sample", pa.int32(), "number among the row's samples, from 0"),
    Column("prompt", pa.string(), "as it stands in the manifest"),
    Column("negative_prompt", pa.string(), "as it stands in the manifest"),
    Column("backend", pa.string(), "configured instance"),
    Column("rerouted_from", pa.string(), "instance that was asked first, where another one had to make it"),
    Column("backend_type", pa.string(), "kind of backend"),
    Column("model", pa.string(), "model reference as configured"),
    Column("model_version", pa.string(), "version that the provider reports"),
    Column("prediction_id", pa.string(), "the provider's id of the last attempt"),
    Column("seed", pa.int64(), "what was sent: the row's own, or derived from job_id"),
    Column("requested_width", pa.int32(), "pixels asked for"),
    Column("requested_height", pa.int32(), "pixels asked for"),
    Column("width", pa.int32(), "pixels of the image, read from its bytes"),
    Column("height", pa.int32(), "pixels of the image, read from its bytes"),
    Column("aspect_ratio", pa.string(), "asked for, W:H"),
    Column("steps", pa.int32(), "asked for"),
    Column("input_image", pa.string(), "path or address of the picture that it starts from"),
    Column("input_image_sha256", pa.string(), "of that picture's file; of its address where it is one"),
    Column("input_mask", pa.string(), "path or address of the mask"),
    Column("input_mask_sha256", pa.string(), "likewise"),
    Column("format", pa.string(), "png, jpeg, webp, ..., read from the image's bytes"),
    Column("bytes", pa.int64(), "size of the image file"),
    Column("sha256", pa.string(), "of the image file"),
    Column("prompt_hash", pa.string(), "sha256 of the prompt, as in the usage table"),
    Column("latency_ms", pa.int64(), "from submit to the last attempt's end"),
    Column("predict_time_s", pa.float64(), "compute time that the provider reports"),
    Column("attempts", pa.int32(), "calls that may have cost money"),
    Column("cost_usd", pa.float64(), "of all attempts; null when one of them is not known"),
    Column("cost_source", pa.string(), "reported, priced or free"),
    Column("status", pa.string(), "planned, submitting, submitted, succeeded, failed or held"),
    Column("error_kind", pa.string(), "why there is no image, for grouping"),
    Column("error_message", pa.string(), "why there is no image"),
    Column("created_at", INSTANT, "when the job was planned first"),
    Column("completed_at", INSTANT, "when it ended"),
    Column("backend_opts", pa.string(), "options sent with the job, JSON"),
    Column("extra", pa.string(), "the manifest's other columns, JSON"),
)

SCHEMA = pa.schema(
    [pa.field(column.name, column.type, metadata={"description": column.description}) for column in COLUMNS],
    metadata={"imagen.metadata_version": SCHEMA_VERSION},
)

_RENAMED = {"status": "state", "created_at": "created_at_us", "completed_at": "completed_at_us"}


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
                writer.write_table(pa.table([_values(page, column) for column in COLUMNS], schema=SCHEMA))
                rows += len(page)
    return rows


def _values(page: Sequence[RowMapping], column: Column) -> pa.Array[Any]:
    return pa.array([_value(row, column.name) for row in page], type=column.type)


def _value(row: RowMapping, name: str) -> Any:
    match name:
        case "prompt_hash":
            return prompt_hash(row["prompt"])
        case "cost_usd":
            return usd(row["cost_micros"])
        case _:
            return row[_RENAMED.get(name, name)]
