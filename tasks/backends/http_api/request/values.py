"""Values of a job for the placeholders of a template."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.request.build import FILE
from tasks.backends.http_api.request.placeholders import BASE64
from tasks.backends.http_api.request.template import find_names
from tasks.backends.sizes import SIDES_APART, resolve_requested_size, spell_ratio
from tasks.core.identity import normalize_prompt
from tasks.core.records import Job
from tasks.store.references import build_data_address, get_references, read_reference

# Pixels. Latent diffusion models work on blocks of eight.
GRID_PX = 8

SIZES = frozenset({"width", "height", "size", "aspect_ratio", "shape"})
"""Placeholders of a size or shape."""


def resolve_size(job: Job, options: HttpOptions) -> tuple[int | None, int | None]:
    """Width and height in pixels, where the row or the configuration says them."""
    # Only where the configuration says a default: sizes that nobody asked for may be refused, or cost more.
    if options.default_width and options.default_height:
        return resolve_requested_size(job, default=(options.default_width, options.default_height), grid_px=GRID_PX)
    return job.width, job.height


def build_values(job: Job, options: HttpOptions) -> dict[str, Any]:
    """Every placeholder of a job; None where the row says nothing."""
    width, height = resolve_size(job, options)
    size = f"{width}x{height}" if width and height else None
    values = {
        "prompt": normalize_prompt(job.prompt),
        "negative_prompt": job.negative_prompt,
        "seed": job.seed,
        "width": width,
        "height": height,
        "size": size,
        "shape": size or job.aspect_ratio,
        "aspect_ratio": job.aspect_ratio or _find_ratio(width, height, options),
        "steps": job.steps or options.default_steps,
        "format": job.format,
        "model": job.model or None,
        "job_id": job.job_id,
    }
    return values | {name: names.get(str(values[name]), values[name]) for name, names in options.names.items()}


def _find_ratio(width: int | None, height: int | None, options: HttpOptions) -> str | None:
    """The ratio of a size that the request has no other place for: without it, the service would choose the shape."""
    sent = set(find_names([options.create.url, options.create.content]))
    if not width or not height or sent & {"width", "height", "size", "shape"}:
        return None
    return spell_ratio(width, height, apart=SIDES_APART)


def find_unsent(job: Job, options: HttpOptions) -> list[str]:
    """Inputs of a row that no placeholder sends, so that the service would not hear of them; each `input: reason`."""
    names = set(find_names([options.create.url, options.create.content]))
    found = list(_find_unnamed(job, options))
    found += [
        f"{name}: is not sent; write {{{name}}} into create if the service takes it, or leave it out"
        for name in ("negative_prompt", "steps")
        if getattr(job, name) is not None and name not in names
    ]
    width, height = resolve_size(job, options)
    is_default = width is not None and (width, height) == (options.default_width, options.default_height)
    if (job.width or job.height or job.aspect_ratio) and not names & SIZES and not is_default:
        found.append("size: this instance sends none; leave it out, or name the service's own input in backend_opts")
    # A ratio alone becomes sides only where a default says how large.
    elif job.aspect_ratio and not names & {"aspect_ratio", "shape"} and not (width and height):
        found.append("aspect_ratio: only sides are sent; give the row a width and a height")
    return found


def _find_unnamed(job: Job, options: HttpOptions) -> Iterator[str]:
    """Values of a row that have no name at the service."""
    values = build_values(job, options.model_copy(update={"names": {}}))
    sent = set(find_names([options.create.url, options.create.content]))
    for name, names in options.names.items():
        # What it does not have would be refused there, or become its default in silence.
        if name in sent and values[name] is not None and str(values[name]) not in names:
            yield f"{name}: {values[name]} is none of those that `names` has ({', '.join(names)})"


def build_image_values(job: Job, options: HttpOptions) -> dict[str, str | bytes]:
    """The placeholders of the job's images, as far as the template names them, and their bytes. Blocks: it reads files.

    Raises:
        Rejected: A file is gone or has changed since the plan. Nothing was sent.
    """
    values: dict[str, str | bytes] = {}
    named = options.images()
    for name, image in get_references(job).items():
        if not image.is_file:
            # An address is passed on as it is. This machine fetches nothing that a row names.
            values[name] = image.address
        elif named & {name, name + BASE64}:
            data = read_reference(image)
            values |= {
                name: build_data_address(data),
                name + BASE64: base64.b64encode(data).decode(),
                name + FILE: data,
            }
    return values


def find_image_problems(job: Job, options: HttpOptions) -> list[str]:
    """Addresses where the template wants bytes: nothing is fetched by us; each `input: reason`."""
    return [
        f"{name}: an address cannot be sent as {{{name}{BASE64}}}; give a file"
        for name, image in get_references(job).items()
        if name + BASE64 in options.images() and not image.is_file
    ]
