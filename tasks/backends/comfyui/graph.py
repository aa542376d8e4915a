"""The graph of one job: the workflow with the job's values at their places."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from tasks.backends.comfyui.options import COLUMNS, PREFIX, ComfyOptions, Place, parse_place
from tasks.backends.sizes import resolve_requested_size
from tasks.core.identity import normalize_prompt
from tasks.core.records import Job
from tasks.store.references import get_references

FOLDER = "imagen"
"""Below the server's output and input folders."""
SIZE_PX = (1024, 1024)
GRID_PX = 16
_NAMESPACE = uuid.UUID("6f1f3c0e-52a7-4d0c-9f39-6c1f0f5b7a11")


def build_prompt_id(batch: str, job: Job, attempt: int) -> str:
    """The id of an attempt: the same in every process, and no other batch's.

    The server keeps the id that it is given, which is how a lost submit is found again. A UUID, as its own ids are.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{batch} {job.job_id} {attempt}"))


def build_file_prefix(prompt_id: str, node: str) -> str:
    """The name under which a node saves the images of an attempt; found by it even after a restart of the server."""
    # Node numbers of subgraphs hold a colon, which some file systems do not take.
    return f"{prompt_id}-{node.replace(':', '-')}"


def list_saving_nodes(options: ComfyOptions) -> list[str]:
    """Numbers of the nodes that save images."""
    return [number for number, node in options.workflow.items() if PREFIX in node["inputs"]]


def list_taken_nodes(options: ComfyOptions) -> list[str]:
    """Numbers of the nodes whose images are taken, the job's own first."""
    return list_saving_nodes(options) if options.outputs is None else options.outputs


def find_problems(job: Job, options: ComfyOptions) -> list[str]:
    """List the values of a row that have no place in the workflow; each `input: reason`."""
    given = {
        "negative_prompt": job.negative_prompt,
        "width": job.width,
        "height": job.height,
        "steps": job.steps,
        "image": job.image,
        "mask": job.mask,
    }
    found = [_explain_lack(name) for name, value in given.items() if value is not None and name not in options.inputs]
    if job.aspect_ratio and not {"width", "height"} <= options.inputs.keys():
        found.append("aspect_ratio: the workflow has no places for width and height; name them in inputs")
    found += [
        f"{name}: an address cannot be uploaded to the server; download it and give the file"
        for name, image in get_references(job).items()
        if not image.is_file and name in options.inputs
    ]
    return found + [_explain_option(name) for name in job.backend_opts if not _list_option_places(name, options)]


def build_graph(job: Job, options: ComfyOptions, *, prompt_id: str, images: Mapping[str, str]) -> dict[str, Any]:
    """The graph that is sent.

    Args:
        job: The job.
        options: The settings, with the workflow.
        prompt_id: Of the attempt; the images are saved under it.
        images: Names on the server of the images that go into it, by column.
    """
    changes = list_job_values(job, options, images=images)
    for node in list_saving_nodes(options):
        changes[Place(node, PREFIX)] = f"{FOLDER}/{build_file_prefix(prompt_id, node)}"
    graph = {number: {**node, "inputs": dict(node["inputs"])} for number, node in options.workflow.items()}
    for place, value in changes.items():
        graph[place.node]["inputs"][place.name] = value
    return graph


def list_job_values(job: Job, options: ComfyOptions, *, images: Mapping[str, str]) -> dict[Place, Any]:
    """The values that a job puts at their places; `images` as of `build_graph`, none where they are not known yet."""
    values: dict[Place, Any] = {}
    for name, value in {**_build_values(job, options), **images}.items():
        values.update(dict.fromkeys(options.list_places(name), value))
    # A row's options come last, as everywhere.
    for name, value in job.backend_opts.items():
        values.update(dict.fromkeys(_list_option_places(name, options), value))
    return values


def _build_values(job: Job, options: ComfyOptions) -> dict[str, Any]:
    """Values by column; what the row leaves open stays as the workflow has it."""
    values: dict[str, Any] = {
        "prompt": normalize_prompt(job.prompt),
        "negative_prompt": job.negative_prompt,
        "seed": job.seed,
        "steps": job.steps,
    }
    if job.width or job.height or job.aspect_ratio:
        size = resolve_requested_size(job, default=_read_size(options), grid_px=GRID_PX)
        values |= dict(zip(("width", "height"), size, strict=True))
    return {name: value for name, value in values.items() if value is not None}


def _read_size(options: ComfyOptions) -> tuple[int, int]:
    """The workflow's own size, whose area a ratio keeps."""
    sides = [
        next((options.workflow[place.node]["inputs"][place.name] for place in options.list_places(name)), None)
        for name in ("width", "height")
    ]
    width, height = sides
    return (width, height) if type(width) is int and type(height) is int and min(width, height) > 0 else SIZE_PX


def _list_option_places(name: str, options: ComfyOptions) -> list[Place]:
    """An option's places: by its name in `inputs`, or the place itself, as 3.cfg."""
    if name in options.inputs and name not in COLUMNS:
        return list(options.list_places(name))
    place = parse_place(name)
    is_there = place is not None and place.name in options.workflow.get(place.node, {}).get("inputs", {})
    return [place] if place is not None and is_there else []


def _explain_lack(name: str) -> str:
    return f"{name}: the workflow has no place for it; name one in inputs ({name}: NODE.INPUT), or leave it out"


def _explain_option(name: str) -> str:
    return f"backend_opts.{name}: is neither in inputs nor an input of a node, as 3.cfg"
