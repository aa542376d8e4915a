"""One row as a job, with everything settled."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.core.configuration.settings import Settings
from tasks.core.identity import SEEDS, derive_seed
from tasks.core.records import Job, Prompt, ReferenceImage


def build_job(
    prompt: Prompt,
    settings: Settings,
    references: Mapping[str, ReferenceImage],
    *,
    backends: tuple[str, ...],
    identity: str,
    sample: int,
    position: int,
) -> Job:
    """Build the job of one image.

    `backends` are the one that makes it and its fallbacks; `sample` counts from 0, and `position` is its sort key.
    """
    name, *fallbacks = backends
    instance = settings.backends[name]
    return Job(
        job_id=identity,
        position=position,
        id=prompt.id,
        line=prompt.line,
        sample=sample,
        prompt=prompt.prompt,
        negative_prompt=prompt.negative_prompt,
        backend=name,
        backend_type=instance.type,
        model=instance.model,
        width=prompt.width,
        height=prompt.height,
        aspect_ratio=prompt.aspect_ratio,
        steps=prompt.steps,
        # Samples of one row must differ; the first keeps the very seed that the row gives.
        seed=derive_seed(identity) if prompt.seed is None else (prompt.seed + sample) % SEEDS,
        format=prompt.format or settings.output.format,
        backend_opts={**instance.backend_opts, **prompt.backend_opts},  # the row's own win
        extra=prompt.extra,
        fallbacks=tuple(fallbacks),
        image=references.get("image"),
        mask=references.get("mask"),
    )
