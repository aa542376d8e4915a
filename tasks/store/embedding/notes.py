"""The facts that are to be written into an image's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.core.configuration.sections import OutputSettings
from tasks.core.records import Job
from tasks.store.embedding.xmp import EDITED, GENERATED


@dataclass(frozen=True, slots=True)
class Notes:
    """Facts for the file; None leaves one out."""

    parameters: Mapping[str, Any] | None = None
    """Values of JSON by name."""
    source_type: str | None = None
    """The way in which the image was made, as `tasks.store.embedding.xmp` names it."""


def build_notes(job: Job, output: OutputSettings) -> Notes:
    """The notes that the settings want in the file of this job."""
    source_type = None
    if output.provenance != "none":
        source_type = GENERATED if job.image is None else EDITED
    return Notes(embedded_parameters(job) if output.embed_parameters else None, source_type)


def embedded_parameters(job: Job) -> dict[str, Any]:
    """Return the parameters to embed in the image's file: those asked for, without those left open."""
    asked = {
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "seed": job.seed,
        "steps": job.steps,
        "model": job.model,
        "backend": job.backend,
        "requested_width": job.width,
        "requested_height": job.height,
        "aspect_ratio": job.aspect_ratio,
        "job_id": job.job_id,
        "id": job.id,
        "sample": job.sample,
    }
    return {name: value for name, value in asked.items() if value is not None}
