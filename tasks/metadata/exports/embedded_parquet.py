"""One Parquet file with the images inside: a column `image` of bytes and path, then the table's columns.

The schema tells the `datasets` library that `image` is an image. A row group holds about as many bytes as a reader
wants to load at once, whatever the size of an image.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.metadata.arrow_table import SCHEMA, build_arrow_columns
from tasks.metadata.columns import COLUMNS
from tasks.metadata.exports.features import IMAGE, build_feature
from tasks.metadata.exports.images import ExportedImage, iterate_images
from tasks.metadata.exports.selection import SelectedJobs
from tasks.store.output import Output

ROW_GROUP_BYTES = 64_000_000
ROW_GROUP_ROWS = 1_000
"""Of small images, so that a page of them is found without reading thousands."""

_IMAGE_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_FEATURES = {"image": IMAGE} | {column.name: build_feature(column) for column in COLUMNS}


def _build_metadata() -> dict[bytes | str, bytes | str]:
    """The table's own, and what makes `datasets` show images."""
    return {**(SCHEMA.metadata or {}), b"huggingface": json.dumps({"info": {"features": _FEATURES}})}  # type: ignore[dict-item]  # bytes are fine


EMBEDDED_SCHEMA = pa.schema(
    [pa.field("image", _IMAGE_TYPE), *SCHEMA],
    metadata=_build_metadata(),
)


async def write_embedded(jobs: SelectedJobs, out: Output, path: Path) -> int:
    """Write the file; gives the number of images.

    Raises:
        OutputError: An image of the batch is not there.
    """
    written = 0
    text = [column.name for column in COLUMNS]
    # Images are compressed already, and none is like another: a dictionary would hold them all.
    compression: Any = dict.fromkeys(text, "zstd") | {"image.bytes": "none", "image.path": "zstd"}
    dictionaries: Any = text
    with pq.ParquetWriter(path, EMBEDDED_SCHEMA, compression=compression, use_dictionary=dictionaries) as writer:
        async with aclosing(_group_images(jobs, out)) as groups:
            async for group in groups:
                _write_group(writer, group)
                written += len(group)
    return written


async def _group_images(jobs: SelectedJobs, out: Output) -> AsyncGenerator[list[ExportedImage], None]:
    """The images of one row group after the other."""
    group: list[ExportedImage] = []
    held_bytes = 0
    async with aclosing(iterate_images(jobs, out)) as found:
        async for image in found:
            # Before it is added: a group is one image at least, however large that is.
            if group and (held_bytes + len(image.data) > ROW_GROUP_BYTES or len(group) == ROW_GROUP_ROWS):
                yield group
                group, held_bytes = [], 0
            group.append(image)
            held_bytes += len(image.data)
    if group:
        yield group


def _write_group(writer: pq.ParquetWriter, group: list[ExportedImage]) -> None:
    images = [{"bytes": image.data, "path": image.row["file_name"]} for image in group]
    columns = [pa.array(images, _IMAGE_TYPE), *build_arrow_columns([image.row for image in group])]
    writer.write_table(pa.table(columns, schema=EMBEDDED_SCHEMA), row_group_size=len(group))
