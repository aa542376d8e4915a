"""The body of a request as a pure function of the job, and the inputs that the model would not take."""

from __future__ import annotations

from math import gcd
from typing import Any

from tasks.backends.image_counts import explain_several
from tasks.backends.openai.models import (
    AUTO,
    FORMATS,
    GRID_PX,
    LONGEST_PROMPT,
    STANDARD_SIZES,
    ModelFacts,
    get_model_facts,
)
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.sizes import resolve_requested_size
from tasks.core.identity import normalize_prompt
from tasks.core.records import Job

SQUARE_PX = (1024, 1024)


def build_body(job: Job, options: OpenAIOptions) -> dict[str, Any]:
    """The body of the job's request, without nulls; a row's options come last and null takes an input away."""
    facts = get_model_facts(job.model)
    # Servers of other models often refuse inputs that they do not know, so `output_format` goes to known models only.
    sends_format = options.output_format if options.output_format is not None else facts is not None
    values = {
        "model": job.model or None,
        "prompt": normalize_prompt(job.prompt),
        # One image a request: the answer holds the images as base64, and n of them would have to be whole in one
        # answer.
        "n": 1,
        "size": choose_size(job, options, facts),
        "quality": options.quality,
        "output_format": job.format if sends_format else None,
        "response_format": options.response_format,
        **{name: getattr(job, source) for name, source in options.extra_inputs.items()},
        # A row's own options come last, so that every input of a model can be reached.
        **job.backend_opts,
    }
    return {name: value for name, value in values.items() if value is not None}


def choose_size(job: Job, options: OpenAIOptions, facts: ModelFacts | None) -> str | None:
    """The row's size, or that of its ratio, else the default."""
    if not (job.width or job.height or job.aspect_ratio):
        return options.default_size
    # Old models have three sizes and no ratios; a ratio that matches one of them means that size.
    if facts is not None and not facts.any_size and job.aspect_ratio and not (job.width or job.height):
        by_ratio = {_reduce_ratio(size): size for size in STANDARD_SIZES}
        across, down = (int(part) for part in job.aspect_ratio.split(":"))
        if size := by_ratio.get((across // gcd(across, down), down // gcd(across, down))):
            return size
    default = options.default_size
    # `auto` has no area to lay a ratio around.
    area = SQUARE_PX if default in {None, AUTO} else _parse_sides(str(default))
    width, height = resolve_requested_size(job, default=area, grid_px=GRID_PX)
    return f"{width}x{height}"


def find_problems(job: Job, options: OpenAIOptions) -> list[str]:
    """List the inputs that the request cannot carry, or that the model is known to refuse; each `input: reason`."""
    body = build_body(job, options)
    found = [
        f"{name}: is not sent; name it in extra_inputs if the server takes it, or leave it out"
        for name in ("negative_prompt", "steps")
        if getattr(job, name) is not None and name not in options.extra_inputs.values()
    ]
    found += explain_several(body)
    # A streamed answer comes as events, and nothing here reads those.
    if body.get("stream"):
        found.append("stream: is not understood here")
    if not isinstance(body.get("prompt"), str):
        found.append("prompt: backend_opts put something else in its place")
    return found + _find_refused_inputs(body, get_model_facts(job.model))


def _find_refused_inputs(body: dict[str, Any], facts: ModelFacts | None) -> list[str]:
    if facts is None:
        return []
    found = []
    if problem := facts.size_problem(str(body.get("size", AUTO))):
        found.append(f"size: {problem}")
    quality = body.get("quality", AUTO)
    if quality != AUTO and str(quality) not in facts.qualities:
        found.append(f"quality: {quality!r} is not one of {', '.join(sorted(facts.qualities))}")
    if str(body.get("output_format", "png")) not in FORMATS:
        found.append(f"output_format: {body['output_format']!r} is not one of {', '.join(sorted(FORMATS))}")
    if len(str(body.get("prompt", ""))) > LONGEST_PROMPT:
        found.append(f"prompt: is longer than {LONGEST_PROMPT} characters")
    return found


def _parse_sides(size: str) -> tuple[int, int]:
    width, height = (int(side) for side in size.split("x"))
    return width, height


def _reduce_ratio(size: str) -> tuple[int, int]:
    width, height = _parse_sides(size)
    return width // gcd(width, height), height // gcd(width, height)
