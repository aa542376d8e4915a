"""What a job becomes in the body of a submit: a pure function."""

from __future__ import annotations

from typing import Any

from tasks.backends.fal.options import FalOptions
from tasks.backends.sizes import requested_size
from tasks.identity import sent_text
from tasks.records import Job

SIZE_PX = (1024, 1024)
GRID_PX = 16


def input_of(job: Job, options: FalOptions) -> dict[str, Any]:
    """The input of the job's request, without nulls; a row's options come last and null takes an input away."""
    by_itself: dict[str, Any] = {"seed": job.seed, "num_images": 1, "output_format": job.format}
    values: dict[str, Any] = {
        "prompt": sent_text(job.prompt),
        **{name: by_itself[name] for name in options.sends},
        **_size(job, options),
        "num_inference_steps": job.steps or options.default_steps,
        "negative_prompt": job.negative_prompt,
        **job.backend_opts,
    }
    return {name: value for name, value in values.items() if value is not None}


def problems_of(job: Job, options: FalOptions) -> list[str]:
    """What cannot be sent, and pictures that would be paid for and dropped; each `input: reason`."""
    found = []
    if input_of(job, options).get("num_images", 1) != 1:
        found.append("num_images: one picture is kept of each request; ask for more with samples")
    if options.size_as == "none" and (job.width or job.height or job.aspect_ratio):
        found.append("size: this instance sends none; set size_as, or leave it out")
    if options.size_as == "aspect_ratio" and (job.width or job.height):
        found.append("size: this instance sends aspect_ratio only; give the row one instead of sides")
    return found


def megapixels(job: Job, options: FalOptions) -> float:
    """The size that is asked for, in millions of pixels; models that are told none make about one."""
    size = input_of(job, options).get("image_size")
    if isinstance(size, dict) and isinstance(size.get("width"), int) and isinstance(size.get("height"), int):
        return float(size["width"] * size["height"] / 1e6)
    return 1.0


def _size(job: Job, options: FalOptions) -> dict[str, Any]:
    if options.size_as == "aspect_ratio":
        return {"aspect_ratio": job.aspect_ratio}
    if options.size_as == "none" or not (job.width or job.height or job.aspect_ratio):
        return {}
    width, height = requested_size(job, default=SIZE_PX, grid_px=GRID_PX)
    return {"image_size": {"width": width, "height": height}}
