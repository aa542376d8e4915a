"""The jobs as the page loads them: scripts of some thousand rows, by columns, each repeated text once.

Every page of jobs is two scripts. The first has what cards, filters and the search need, and is loaded at the start; the
second has the details, and is loaded when an image is opened. A script is named after its content: what has not changed
is not written again, and a page that is open while the gallery is made anew never reads a half of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from tasks.core.identity import hash_text
from tasks.core.money import to_usd
from tasks.ledger.scores import KEPT, KEPT_WHY, parse_kept, parse_results
from tasks.metadata.columns import hide_folder
from tasks.report.gallery.manifest_rows import build_image_line, build_manifest_lines, describe_asked, describe_extra
from tasks.report.gallery.page import encode_script_json
from tasks.report.gallery.thumbnails import Thumbnail
from tasks.store.output import NewFile, Output, is_contained

FOLDER, DETAILS = "gallery/rows", "gallery/details"
# Characters of the digest in a script's name; 48 bits keep scripts of one batch apart.
DIGEST_CHARACTERS = 12
# A column with fewer values than this share of the rows names the rows that have one.
SPARSE = 8

_SHOWN = (
    "job_id",
    "line",
    "sample",
    "salt",
    "backend_type",
    "model",
    "width",
    "height",
    "state",
    "error_kind",
    "error_message",
    "attempts",
    "latency_ms",
    "cost_source",
    "provenance",
    "completed_at_us",
)
"""Columns of the ledger that cards, filters and orders read."""
_DETAILS = (
    "earlier",
    "rerouted_from",
    "model_version",
    "prediction_id",
    "format",
    "bytes",
    "sha256",
    "predict_time_s",
    "created_at_us",
)
"""Columns of the ledger that only an opened image shows."""


@dataclass(frozen=True, slots=True)
class RowScripts:
    """Names of the two scripts of a page of jobs, below `FOLDER` and `DETAILS`."""

    shown: str
    details: str


async def write_rows(
    out: Output,
    number: int,
    page: Sequence[Mapping[str, Any]],
    images: Sequence[Thumbnail | None],
    written: AbstractSet[str],
) -> RowScripts:
    """Write one page of jobs.

    Args:
        out: Where the batch's files lie.
        number: Of the page, from 1.
        page: Rows of the ledger's `jobs`.
        images: What there is to see of each; None where there is nothing yet.
        written: Names of the scripts that are there already.

    Raises:
        BatchStopped: It could not be written.
    """
    details = await _write_script(out, DETAILS, number, {"columns": _pack_all(_build_details(page))}, written)
    scores = [parse_results(job["scores"]) for job in page]
    shown = {
        "count": len(page),
        "details": details,
        "columns": _pack_all(_build_shown(page, images, scores)),
        "asked": _pack_all(_turn(describe_asked(job) for job in page)),
        # Lists of pairs, because a column may be called `__proto__`, which JavaScript's objects take for something else.
        "extra": list(_pack_all(_turn(describe_extra(job) for job in page)).items()),
        "scores": list(
            _pack_all(
                _turn({name: row[name] for name in row if name not in {KEPT, KEPT_WHY}} for row in scores)
            ).items()
        ),
    }
    return RowScripts(await _write_script(out, FOLDER, number, shown, written), details)


def _build_shown(
    page: Sequence[Mapping[str, Any]], images: Sequence[Thumbnail | None], scores: Sequence[Mapping[str, Any]]
) -> dict[str, list[Any]]:
    return {name: [job[name] for job in page] for name in _SHOWN} | {
        # JavaScript's numbers are exact up to 2^53 only; a seed has 63 bits.
        "seed": [str(job["seed"]) for job in page],
        "kept": [parse_kept(job["scores"]) for job in page],
        "kept_why": [row.get(KEPT_WHY) for row in scores],
        "reused_from": [hide_folder(job["reused_from"]) for job in page],
        "cost_usd": [to_usd(job["cost_micros"]) for job in page],
        # An absolute name would lead out of the batch's folder; such a job shows no image.
        "file_name": [job["file_name"] if is_contained(job["file_name"]) else None for job in page],
        "thumbnail": [image and image.thumbnail for image in images],
        "trouble": [image and image.trouble for image in images],
    }


def _build_details(page: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [job[name] for job in page] for name in _DETAILS} | {
        "row": [build_manifest_lines(job) for job in page],
        # A row for the image alone only where the row of the job is another one.
        "image_row": [build_image_line(job) for job in page],
    }


async def _write_script(
    out: Output, folder: str, number: int, content: dict[str, Any], written: AbstractSet[str]
) -> str:
    data = encode_script_json(content)
    name = f"{number:04d}-{hash_text(data)[:DIGEST_CHARACTERS]}.js"
    # A script that is there already is not written again: its name is its content.
    if (stored := f"{folder}/{name}") not in written:
        await out.write(lambda: NewFile(stored, f'Gallery.receive("{name}",{data});\n'.encode()))
    return name


def _turn(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Columns out of rows, of which each may have others; None where a row has no value."""
    listed = list(rows)
    names = dict.fromkeys(name for row in listed for name in row)
    return {name: [row.get(name) for row in listed] for name in names}


def _pack_all(columns: Mapping[str, list[Any]]) -> dict[str, dict[str, Any]]:
    return {name: _pack(values) for name, values in columns.items()}


def _pack(values: list[Any]) -> dict[str, Any]:
    """The column as it is, as its distinct values and which of them each row has, or as the rows that have one."""
    rows = [row for row, value in enumerate(values) if value is not None]
    # Rows of one manifest may have thousands of columns between them, with a value or two in each.
    if SPARSE * len(rows) < len(values):
        return {"rows": rows, "values": [values[row] for row in rows]}
    # With their types, because to Python true, 1 and 1.0 are the same.
    keys = [(type(value), value) for value in values]
    place = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    # A column with few values is shorter as a table of them and places into it.
    if 2 * len(place) > len(values):
        return {"values": values}
    return {"values": [value for _, value in place], "at": [place[key] for key in keys]}
