"""The body of a create, a pure function: the same input for the same job, always."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from tasks.backends.replicate.options import ReplicateOptions
from tasks.backends.sizes import SIDES_APART, spell_ratio
from tasks.core.identity import normalize_prompt
from tasks.core.records import Job

REFERENCE_IMAGES = ("image", "images", "input_image", "input_images", "image_input", "image_prompt")
"""Names of such inputs in the schemas of image models on Replicate (read 2026-11)."""

OUTPUT_FORMATS = {"jpeg": "jpg"}


def build_input(job: Job, options: ReplicateOptions, *, lacks: Collection[str] = ()) -> dict[str, Any]:
    """The `input` of the job's prediction, without nulls. It holds the job's seed, which makes it unique.

    Args:
        job: The job.
        options: Settings of the instance.
        lacks: Inputs that the model does not have, and that are not sent by themselves.
    """
    steps = job.steps or options.default_steps
    optional = {
        "num_inference_steps": steps,
        "negative_prompt": job.negative_prompt,
        "output_quality": options.output_quality,
    }
    always = {
        "prompt": normalize_prompt(job.prompt),
        "aspect_ratio": choose_aspect_ratio(job, options.default_aspect_ratio),
        # One output a prediction: FLUX leaves out flagged images, and the index of the rest would be lost (cog-flux,
        # read 2026-11).
        "num_outputs": 1,
        "output_format": OUTPUT_FORMATS.get(job.format, job.format),
        "seed": job.seed,
    }
    if "aspect_ratio" in lacks:
        optional |= {"width": job.width, "height": job.height}  # a model without ratios takes sides
    by_itself = {name: value for name, value in always.items() if name not in lacks}
    # A row's options come last, so that every input of a model can be reached: null takes one away.
    values = {**by_itself, **optional, **job.backend_opts}
    return {name: value for name, value in values.items() if value is not None}


def choose_aspect_ratio(job: Job, default: str) -> str:
    """The row's ratio as the models spell it; that of its sides is the nearest one, where that is near.

    Any other goes as it is: the model's input schema refuses it before anything is sent.
    """
    # Sides are matched to the nearest ratio, for people write 1920x1088 where they mean 16:9.
    if job.width and job.height:
        return spell_ratio(job.width, job.height, apart=SIDES_APART)
    if job.aspect_ratio:
        across, down = (int(part) for part in job.aspect_ratio.split(":"))
        return spell_ratio(across, down, apart=0.0)
    return default


def has_reference_images(values: Mapping[str, Any]) -> bool:
    """True if images go in: their size is not known here, and some models bill it."""
    return any(values.get(name) for name in REFERENCE_IMAGES)


def get_megapixels(values: Mapping[str, Any]) -> float:
    """The size that an input asks for, in millions of pixels; models that say nothing make one."""
    # Names for the same thing in different families: FLUX.1, FLUX.2 klein, FLUX.2 pro.
    for name in ("megapixels", "output_megapixels", "resolution"):
        if match := re.match(r"\d+(\.\d+)?", str(values.get(name, ""))):
            return float(match[0])
    width, height = values.get("width"), values.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return width * height / 1e6
    # Too small an estimate for a large image would let the budget be passed; but the models without any size make one.
    return 1.0
