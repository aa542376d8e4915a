"""What a job gives the placeholders of a template."""

from __future__ import annotations

from typing import Any

from tasks.backends.http_api.options import HttpOptions
from tasks.backends.sizes import requested_size
from tasks.identity import sent_text
from tasks.records import Job

GRID_PX = 8


def size_of(job: Job, options: HttpOptions) -> tuple[int | None, int | None]:
    """Width and height in pixels, where the row or the configuration says them."""
    if options.default_width and options.default_height:
        return requested_size(job, default=(options.default_width, options.default_height), grid_px=GRID_PX)
    return job.width, job.height


def values_of(job: Job, options: HttpOptions) -> dict[str, Any]:
    """Every placeholder of a job; None where the row says nothing."""
    width, height = size_of(job, options)
    return {
        "prompt": sent_text(job.prompt),
        "negative_prompt": job.negative_prompt,
        "seed": job.seed,
        "width": width,
        "height": height,
        "size": f"{width}x{height}" if width and height else None,
        "aspect_ratio": job.aspect_ratio,
        "steps": job.steps,
        "format": job.format,
        "model": job.model or None,
        "job_id": job.job_id,
    }
