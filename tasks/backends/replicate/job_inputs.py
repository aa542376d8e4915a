"""The input of a job's prediction as it is planned, sent, and recalled by a later run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.backends.image_counts import count_images
from tasks.backends.prices import Used
from tasks.backends.replicate.inputs import build_input, get_megapixels, has_reference_images
from tasks.backends.replicate.likeness import SentInput
from tasks.backends.replicate.models import ModelFacts
from tasks.backends.replicate.options import ReplicateOptions
from tasks.backends.replicate.reference_inputs import ReferenceInputs, Upload
from tasks.core.records import Job
from tasks.store.references import get_references


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInputs:
    """Inputs for one model."""

    options: ReplicateOptions
    facts: ModelFacts
    references: ReferenceInputs

    def build_planned(self, job: Job) -> dict[str, Any]:
        """The input as far as it is known before a send: an image that will be uploaded is its file's name."""
        return self._build(job) | self.references.standing(job)

    async def build_sent(self, job: Job, upload: Upload) -> dict[str, Any]:
        """The input as it is sent now.

        Raises:
            Rejected: A file is gone or has changed. Nothing was sent.
        """
        return self._build(job) | await self.references.build_sent(job, upload)

    async def recall(self, job: Job) -> SentInput:
        """The input that an earlier run sent; that run alone knew the addresses of its uploads."""
        references, uploads = await self.references.recall(job)
        values = {name: value for name, value in (self._build(job) | references).items() if name not in uploads}
        return SentInput(values=values, unknown=frozenset(uploads), files=tuple(sorted(uploads.values())))

    def count_used(self, job: Job, seconds: float | None) -> Used:
        """The quantities that the job's prediction is billed by; `seconds` of compute where they are known."""
        values = self.build_planned(job)
        has_images = has_reference_images(values) or get_references(job)
        return Used(
            images=count_images(values),
            megapixels=get_megapixels(values),
            # Some models bill reference images by their size, which is not known here.
            input_megapixels=None if has_images else 0.0,
            seconds=seconds,
        )

    def _build(self, job: Job) -> dict[str, Any]:
        return build_input(job, self.options, lacks=self.facts.lacks)
