"""The body of a submit, a pure function of the job."""

from __future__ import annotations

from typing import Any

from tasks.backends.fal.options import FalOptions
from tasks.backends.image_counts import explain_several
from tasks.backends.sizes import resolve_requested_size
from tasks.core.identity import normalize_prompt
from tasks.core.records import Job

SIZE_PX = (1024, 1024)
GRID_PX = 16
NAMED_PX = {
    "square_hd": SIZE_PX,
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
"""Values of `image_size` by name (fal.ai docs, `ImageSize`); models know further ones, of unknown size."""
# Models that are told no size make about one megapixel.
USUAL_MEGAPIXELS = 1.0
MOST_MEGAPIXELS = SIZE_PX[0] * SIZE_PX[1] / 1e6
"""Of the images of a model that is told no size: usually and at most."""


def build_input(job: Job, options: FalOptions) -> dict[str, Any]:
    """The input of the job's request, without nulls; a row's options come last and null takes an input away."""
    by_itself: dict[str, Any] = {"seed": job.seed, "num_images": 1, "output_format": job.format}
    values: dict[str, Any] = {
        "prompt": normalize_prompt(job.prompt),
        # Shortened by the instance for models that do not take one of these.
        **{name: by_itself[name] for name in options.sends},
        **_build_size(job, options),
        "num_inference_steps": job.steps or options.default_steps,
        "negative_prompt": job.negative_prompt,
        **job.backend_opts,
    }
    return {name: value for name, value in values.items() if value is not None}


def find_problems(job: Job, options: FalOptions) -> list[str]:
    """List the inputs that cannot be sent, and images that would be paid for and dropped; each `input: reason`."""
    found = explain_several(build_input(job, options))
    if options.size_as == "none" and (job.width or job.height or job.aspect_ratio):
        found.append("size: this instance sends none; set size_as, or leave it out")
    # A model with ratios ignores sides, and the image would not have the size of the row.
    if options.size_as == "aspect_ratio" and (job.width or job.height):
        found.append("size: this instance sends aspect_ratio only; give the row one instead of sides")
    return found


def estimate_megapixels(job: Job, options: FalOptions, *, untold: float = USUAL_MEGAPIXELS) -> float | None:
    """The size that is asked for in millions of pixels, else `untold`; None where a name of a size is not known here."""
    size = build_input(job, options).get("image_size")
    if size is None:
        return untold
    if isinstance(size, dict):
        width, height = size.get("width"), size.get("height")
    else:
        width, height = NAMED_PX.get(str(size), (None, None))
    # A name that is not known here has no size that could be priced.
    return width * height / 1e6 if isinstance(width, int) and isinstance(height, int) else None


def _build_size(job: Job, options: FalOptions) -> dict[str, Any]:
    if options.size_as == "aspect_ratio":
        return {"aspect_ratio": job.aspect_ratio}
    if options.size_as == "none" or not (job.width or job.height or job.aspect_ratio):
        return {}
    width, height = resolve_requested_size(job, default=SIZE_PX, grid_px=GRID_PX)
    return {"image_size": {"width": width, "height": height}}
