"""The columns of a batch's table, whatever file they are written to: names, types, meaning, and where they come from.

Takes a row of the ledger, gives the value of a column. Knows nothing of Parquet, so that what only reads a
ledger does not load it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import RowMapping

from tasks.core.clock import to_instant
from tasks.core.identity import hash_prompt
from tasks.core.money import to_usd
from tasks.ledger.scores import merge_results, parse_kept

INSTANT = "timestamp[us, tz=UTC]"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    name: str
    type: str
    """As Arrow spells it."""
    description: str


# No column may be called `image` (it would replace the images in an imagefolder), none may be a map
# (an imagefolder refuses it). Source: the `datasets` library, folder_based_builder, read 2026-11.
COLUMNS = (
    Column("file_name", "string", "path of the image, relative to this file; null while there is none"),
    Column("job_id", "string", "identity of the image: sha256 of what decides it"),
    Column("id", "string", "the row's own id"),
    Column("line", "int64", "line (Parquet: row) of the manifest"),
    Column("sample", "int32", "number among the row's samples, from 0"),
    Column("prompt", "string", "as it stands in the manifest"),
    Column("negative_prompt", "string", "as it stands in the manifest"),
    Column("backend", "string", "configured instance"),
    Column("rerouted_from", "string", "instance that was asked first, where another one had to make it"),
    Column("backend_type", "string", "kind of backend"),
    Column("model", "string", "model reference as configured"),
    Column("model_version", "string", "version that the provider reports"),
    Column("prediction_id", "string", "the provider's id of the last attempt"),
    Column("seed", "int64", "what was sent: the row's own, or derived from job_id"),
    Column("requested_width", "int32", "pixels asked for"),
    Column("requested_height", "int32", "pixels asked for"),
    Column("width", "int32", "pixels of the image, read from its bytes"),
    Column("height", "int32", "pixels of the image, read from its bytes"),
    Column("aspect_ratio", "string", "asked for, W:H"),
    Column("steps", "int32", "asked for"),
    Column("input_image", "string", "file name or address of the image that it starts from"),
    Column("input_image_sha256", "string", "of that image's file; of its address where it is one"),
    Column("input_mask", "string", "file name or address of the mask"),
    Column("input_mask_sha256", "string", "likewise"),
    Column("format", "string", "png, jpeg, webp, ..., read from the image's bytes"),
    Column("bytes", "int64", "size of the image file"),
    Column("sha256", "string", "of the image file"),
    Column("provenance", "string", "how the file says that it was generated: iptc or c2pa; null: it does not"),
    Column("reused_from", "string", "batch that made the image, where it was reused for nothing; null: made here"),
    Column("prompt_hash", "string", "sha256 of the prompt, as in the usage table"),
    Column("latency_ms", "int64", "from submit to the last attempt's end"),
    Column("predict_time_s", "double", "compute time that the provider reports"),
    Column("attempts", "int32", "calls that may have cost money"),
    Column("cost_usd", "double", "of all attempts; null when one of them is not known"),
    Column("cost_source", "string", "reported, priced, free or reused"),
    Column("status", "string", "planned, submitting, submitted, succeeded, failed or held"),
    Column("error_kind", "string", "why there is no image, for grouping"),
    Column("error_message", "string", "why there is no image"),
    Column("created_at", INSTANT, "when the job was planned first"),
    Column("completed_at", INSTANT, "when it ended"),
    Column("verdict", "string", "pick or reject, as a review says; null: not judged"),
    Column("rating", "int32", "1 to 5, as a review says"),
    Column("note", "string", "as a review says"),
    Column("kept", "bool", "false: left out by `keep` or `reject`; null: no such rule looked at it"),
    Column("scores", "string", "results of `imagen score` for this file, JSON; null: not scored"),
    Column("backend_opts", "string", "options sent with the job, JSON"),
    Column("extra", "string", "the manifest's other columns, JSON"),
)

_RENAMED = {"status": "state", "created_at": "created_at_us", "completed_at": "completed_at_us"}
_COMPUTED: dict[str, Callable[[RowMapping], Any]] = {
    "prompt_hash": lambda row: hash_prompt(row["prompt"]),
    "cost_usd": lambda row: to_usd(row["cost_micros"]),
    "input_image": lambda row: hide_folder(row["input_image"]),
    "input_mask": lambda row: hide_folder(row["input_mask"]),
    "reused_from": lambda row: hide_folder(row["reused_from"]),
    "kept": lambda row: parse_kept(row["scores"]),
    "scores": lambda row: merge_results(row["scores"]),
}


def build_reader(column: Column) -> Callable[[RowMapping], Any]:
    """The function that gives the column's value in a row of the ledger; instants are microseconds since 1970 UTC."""
    return _COMPUTED.get(column.name) or itemgetter(_RENAMED.get(column.name, column.name))


def hide_folder(reference: str | None) -> str | None:
    """An address as it is; of a path on this machine the file's name, since a table travels and folders tell of people."""
    if reference is None or reference.startswith(("http://", "https://")):
        return reference
    return re.split(r"[/\\]", reference)[-1]  # both: the ledger may come from another system


def build_plain_row(row: RowMapping) -> dict[str, Any]:
    """Every column by its name, in values that JSON has; instants as ISO 8601 in UTC."""
    return {column.name: _to_plain(read(row), column) for column, read in READERS}


def _to_plain(value: Any, column: Column) -> Any:
    return to_instant(value).isoformat() if column.type == INSTANT and value is not None else value


READERS = tuple((column, build_reader(column)) for column in COLUMNS)
"""Each column with its reader, which is chosen once and not for each row."""
