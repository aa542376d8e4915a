"""The jobs as the page loads them: scripts of some thousand rows, by columns, each repeated text once.

A script is named after its content: what has not changed is not written again, and a page that is open while the
gallery is made anew never reads a half of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from tasks.core.identity import hash_text
from tasks.core.money import to_usd
from tasks.ledger.scores import parse_kept, parse_results
from tasks.report.gallery.manifest_rows import build_image_line, build_manifest_lines
from tasks.report.gallery.page import encode_script_json
from tasks.report.gallery.thumbnails import Thumbnail
from tasks.store.output import NewFile, Output, is_contained

FOLDER = "gallery/rows"
# Characters of the digest in a script's name; 48 bits keep scripts of one batch apart.
DIGEST_CHARACTERS = 12

_PLAIN = (
    "job_id",
    "line",
    "sample",
    "earlier",
    "salt",
    "rerouted_from",
    "backend_type",
    "model",
    "model_version",
    "prediction_id",
    "width",
    "height",
    "format",
    "bytes",
    "sha256",
    "state",
    "error_kind",
    "error_message",
    "attempts",
    "latency_ms",
    "predict_time_s",
    "cost_source",
    "created_at_us",
    "completed_at_us",
)
"""Columns of the ledger that the page gets as they are. What was asked for it reads from `row`."""


async def write_rows(
    out: Output,
    number: int,
    page: Sequence[Mapping[str, Any]],
    images: Sequence[Thumbnail | None],
    written: AbstractSet[str],
) -> str:
    """Write one page of jobs.

    Args:
        out: Where the batch's files lie.
        number: Of the page, from 1.
        page: Rows of the ledger's `jobs`.
        images: What there is to see of each; None where there is nothing yet.
        written: Names of the scripts that are there already.

    Returns:
        The script's name below `FOLDER`.

    Raises:
        BatchStopped: It could not be written.
    """
    columns = {name: [job[name] for job in page] for name in _PLAIN} | {
        "row": [build_manifest_lines(job) for job in page],
        # A row for the image alone only where the row of the job is another one.
        "image_row": [build_image_line(job) for job in page],
        # JavaScript's numbers are exact up to 2^53 only; a seed has 63 bits.
        "seed": [str(job["seed"]) for job in page],
        # Text, so that equal results are written once. The page sorts by the numbers in it.
        "scores": [job["scores"] and json.dumps(parse_results(job["scores"])) for job in page],
        "kept": [parse_kept(job["scores"]) for job in page],
        "cost_usd": [to_usd(job["cost_micros"]) for job in page],
        # An absolute name would lead out of the batch's folder; such a job shows no image.
        "file_name": [job["file_name"] if is_contained(job["file_name"]) else None for job in page],
        "thumbnail": [image and image.thumbnail for image in images],
        "trouble": [image and image.trouble for image in images],
    }
    data = encode_script_json(
        {"count": len(page), "columns": {name: _pack(values) for name, values in columns.items()}}
    )
    name = f"{number:04d}-{hash_text(data)[:DIGEST_CHARACTERS]}.js"
    # A script that is there already is not written again: its name is its content.
    if (stored := f"{FOLDER}/{name}") not in written:
        await out.write(lambda: NewFile(stored, f'Gallery.receive("{name}",{data});\n'.encode()))
    return name


def _pack(values: list[Any]) -> dict[str, Any]:
    """The column, or its distinct values and which of them each row has, whichever is shorter."""
    distinct = list(dict.fromkeys(values))
    # A column with few values is shorter as a table of them and places into it.
    if 2 * len(distinct) > len(values):
        return {"values": values}
    place = {value: index for index, value in enumerate(distinct)}
    return {"values": distinct, "at": [place[value] for value in values]}
