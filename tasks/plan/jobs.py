"""One row as a job: the content that decides its image, and the job with everything settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.identity import SEEDS, derive_seed, normalize_prompt
from tasks.core.records import Job, Prompt, ReferenceImage


def build_content(
    prompt: Prompt, instance: BackendSettings, references: Mapping[str, ReferenceImage]
) -> dict[str, Any]:
    """Build the content that decides the image, apart from sample, repetition and salt.

    Args:
        prompt: The row.
        instance: The backend that is to make it.
        references: The images that it starts from, by column.
    """
    content = {
        "backend_type": instance.type,
        "model": instance.model,
        # As it is sent: an edge space more or less does not make another image.
        "prompt": normalize_prompt(prompt.prompt),
        "negative_prompt": prompt.negative_prompt,
        "width": prompt.width,
        "height": prompt.height,
        "aspect_ratio": prompt.aspect_ratio,
        "steps": prompt.steps,
        "seed": prompt.seed,
        "backend_opts": {**instance.backend_opts, **prompt.backend_opts},
    }
    # No key for a row without images: it keeps the identity that it had before rows could have any.
    return content | {name: found.sha256 for name, found in references.items()}


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

    Args:
        prompt: The row.
        settings: The configuration.
        references: The images that the row starts from, by column.
        backends: The instance that makes it, then its fallbacks.
        identity: The job's id.
        sample: 0-based number among the row's images.
        position: Sort key within the manifest.
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
