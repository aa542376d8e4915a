"""From a job back to a row: what to put into a manifest to get this very image again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.core.identity import SEEDS, derive_seed
from tasks.manifest.names import NAMES
from tasks.manifest.row_gates import spread_rule
from tasks.metadata.columns import hide_folder
from tasks.plan.reroll import REROLL_SALT

_COLUMNS = {
    "id": "id",
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "backend": "backend",
    "width": "requested_width",
    "height": "requested_height",
    "aspect_ratio": "aspect_ratio",
    "steps": "steps",
    "format": "requested_format",
    "image": "input_image",
    "mask": "input_mask",
}
"""Columns of a row that the ledger has as they were given, and its own names for them."""


def build_manifest_lines(job: Mapping[str, Any]) -> str:
    """The JSONL that `imagen run` reads back to the same `job_id`, given the same backend and salt.

    It is one line, except where identical rows stood before this one in its manifest: they are a part of what the
    job is, so they stand before it here too. A later sample of a row brings the samples before it.

    Args:
        job: A row of the ledger's `jobs`.
    """
    row = _build_row(job)
    # The rows before it count into its identity, and its id and its number of samples are its own.
    before = {name: value for name, value in row.items() if name not in {"id", "samples"}}
    return "\n".join([*[_to_json(before)] * job["earlier"], _to_json(row)])


def build_image_line(job: Mapping[str, Any]) -> str | None:
    """For a job that no row gives again, the row that makes its image as a job of its own; None for all others.

    A reroll's identity comes from its image, that of a job which another backend took over from the options of the
    first one, which are not known any more. So the seed, which follows from the identity, has to stand in the row.
    """
    # Only these: every other job is made again by its row.
    if job["rerouted_from"] is None and job["salt"] != REROLL_SALT:
        return None
    alone = {name: value for name, value in _build_row(job).items() if name != "samples"}
    return _to_json({**alone, "seed": job["seed"]})


def describe_asked(job: Mapping[str, Any]) -> dict[str, Any]:
    """The request of the row, by column; a seed and options as text, since JavaScript would cut long numbers."""
    return {
        name: _to_text(value) if name in {"seed", "backend_opts"} else value for name, value in _find_given(job).items()
    }


def describe_extra(job: Mapping[str, Any]) -> dict[str, str]:
    """The row's columns that the manifest carries along, as texts; an empty cell is no value."""
    extra = spread_rule(_parse_finite(job["extra"]))
    return {
        name: value if isinstance(value, str) else _to_text(value) for name, value in extra.items() if value is not None
    }


def _build_row(job: Mapping[str, Any]) -> dict[str, Any]:
    given, extra = _find_given(job), _parse_finite(job["extra"])
    # A rule is written as columns, because a manifest has no column of its stored name.
    return {**given, **_build_guards(given, extra), **spread_rule(extra)}


def _find_given(job: Mapping[str, Any]) -> dict[str, Any]:
    asked = {name: job[column] for name, column in _COLUMNS.items()}
    # A page travels as a table does. The row makes the same job wherever the file lies: its bytes count, not its folder.
    asked |= {name: hide_folder(asked[name]) for name in ("image", "mask")}
    # A seed that follows from the job is not written: the row would then be another one.
    if job["seed"] != derive_seed(job["job_id"]):
        # A later sample adds its number to the row's seed.
        asked["seed"] = (job["seed"] - job["sample"]) % SEEDS
    if job["sample"]:
        asked["samples"] = job["sample"] + 1
    asked["backend_opts"] = _parse_finite(job["backend_opts"]) or None
    # An empty cell and a missing column are the same thing to the manifest.
    return {name: value for name, value in asked.items() if value is not None}


def _build_guards(given: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, None]:
    """An empty cell for each column that the row left empty, where an extra column would be read in its place."""
    return {name: None for name, aliases in NAMES.items() if name not in given and not extra.keys().isdisjoint(aliases)}


def _parse_finite(text: str) -> dict[str, Any]:
    """A stored JSON object; infinite numbers, which JSON does not have, become texts."""
    found: dict[str, Any] = json.loads(text, parse_constant=str)
    return found


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _to_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
