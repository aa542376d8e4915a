"""The input of a job's prediction as it is planned, checked, sent, and recalled by a later run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tasks.backends.image_counts import count_images, explain_several
from tasks.backends.prices import Used
from tasks.backends.replicate.input_schema import InputSchema
from tasks.backends.replicate.inputs import build_input, get_megapixels, has_reference_images
from tasks.backends.replicate.likeness import Comparison, SentInput
from tasks.backends.replicate.models import ModelFacts
from tasks.backends.replicate.options import ReplicateOptions
from tasks.backends.replicate.reference_inputs import ReferenceInputs, Upload
from tasks.core.records import Job
from tasks.store.references import get_references

KINDS_KEPT = 1_024
"""Shapes of jobs about which something is remembered."""
LONGEST_SHAPE = 2_000
"""Characters of a row's options; of longer ones, such as images as text, no two are the same."""
_OF_THE_JOB = ("prompt", "negative_prompt", "seed")
"""Inputs that differ within a shape."""
Shape = tuple[object, ...] | None


def get_shape(job: Job) -> Shape:
    """Equal for jobs of one instance whose inputs differ in texts and seed alone; None for one that is like no other."""
    # Its spelling, because 1, 1.0 and true are equal to Python and not to a schema.
    options = repr(job.backend_opts) if job.backend_opts else ""
    if len(options) > LONGEST_SHAPE:
        return None
    sizes = (job.width, job.height, job.aspect_ratio, job.steps)
    return (*sizes, job.format, job.negative_prompt is None, job.image, job.mask, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInputs:
    """Inputs for one model."""

    options: ReplicateOptions
    facts: ModelFacts
    references: ReferenceInputs
    _used: dict[tuple[Shape, float | None], Used] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        shape = get_shape(job)
        # Texts and seed are no quantity, and each job is asked about several times.
        if (known := self._used.get((shape, seconds))) is None:
            known = self._count_used(job, seconds)
            if shape is not None and len(self._used) < KINDS_KEPT:
                self._used[shape, seconds] = known
        return known

    def _count_used(self, job: Job, seconds: float | None) -> Used:
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


class InputCheck:
    """The check for the jobs of one instance."""

    def __init__(self, inputs: JobInputs, comparison: Comparison) -> None:
        """Check against the schema of `comparison`, from when on it is known."""
        self._inputs = inputs
        self._comparison = comparison
        self._schema: InputSchema | None = None
        self._sound: set[Shape] = set()
        """Shapes of which no job has a problem, by `_schema`."""

    def list_problems(self, job: Job) -> list[str]:
        """Inputs that the model would refuse, and images that would be paid for and dropped; each `name: reason`."""
        schema, shape = self._comparison.schema, get_shape(job)
        if schema is not self._schema:
            # What was sound as long as nothing was known says nothing any more.
            self._schema, self._sound = schema, set()
        # A manifest of a million rows has a few shapes, and building each input to look at it costs as much as reading its row.
        if shape in self._sound:
            return []
        values = self._inputs.build_planned(job)
        problems = explain_several(values) + ([] if schema is None else schema.problems(values))
        is_for_all = schema is None or all(
            schema.takes_any(name, values[name]) for name in _OF_THE_JOB if name in values
        )
        if not problems and is_for_all and shape is not None and len(self._sound) < KINDS_KEPT:
            self._sound.add(shape)
        return problems
