"""The embedded backend `sketch`: a placeholder generator, so that a batch can be rehearsed for nothing.

It draws deterministic images from prompt and seed; it does not understand the prompt. It goes through
the same states as a paid service, and its settings make it as slow and as unreliable as one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from tasks.backends.base import Allowance, BackendContext, Estimate, read_options
from tasks.backends.sizes import resolve_requested_size
from tasks.core.errors import JobError, Refused, Transient
from tasks.core.identity import normalize_prompt
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction

DEFAULT_SIZE_PX = (512, 512)
GRID_PX = 8
DEFAULT_STEPS = 4
DRAWING_S = 0.07
"""Seconds to draw and write an image of the default size, measured on two cores; for estimates only."""


class SketchOptions(BaseModel):
    """Settings of the type `sketch`, all for rehearsal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    latency_s: float = Field(0.0, ge=0, le=3600, description="seconds that a prediction takes")
    failure_rate: float = Field(0.0, ge=0, le=1, description="share of predictions that fail for good")
    transient_rate: float = Field(0.0, ge=0, le=1, description="share of attempts that fail and may be tried again")
    moderation_rate: float = Field(0.0, ge=0, le=1, description="share of prompts that are refused")


class SketchBackend:
    """See `tasks.backends.base.Backend`; every call here is free."""

    def __init__(self, context: BackendContext) -> None:
        """Read the options.

        Raises:
            ConfigError: An option is unknown or out of range.
        """
        self._name = context.name
        self._creates_per_min = context.settings.creates_per_min
        self._output = context.output
        self._price_micros = to_micros(context.settings.price_usd)
        self._options = read_options(context, SketchOptions)

    def ready(self) -> str | None:
        """Always: there is nothing to set up."""
        return None

    def learn(self) -> None:
        """There is nobody to ask."""

    def problems(self, job: Job) -> list[str]:
        """Every job can be drawn."""
        return []

    def estimate(self, job: Job) -> Estimate:
        """Free, unless a price is set to rehearse a budget."""
        cost_micros = self._price_micros or 0
        latency_s = self._options.latency_s + DRAWING_S
        return Estimate(cost_micros=cost_micros, most_micros=cost_micros, latency_s=latency_s)

    def allowance(self) -> Allowance:
        """Its own, to rehearse a rate."""
        return Allowance(account=self._name, creates_per_min=self._creates_per_min)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """Give the attempt an id that says which one it is, so that any process can go on with it."""
        return Prediction(prediction_id=f"sketch-{job.job_id[:20]}-{attempt}", model_version="1")

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Nothing outlives the process that submitted it."""
        return None

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Take the configured time, then end as the configured rates say."""
        await asyncio.sleep(self._options.latency_s)
        if failure := self._failure(job, prediction):
            raise failure
        return Prediction(
            prediction_id=prediction.prediction_id,
            model_version="1",
            predict_time_s=self._options.latency_s,
            cost_micros=self._price_micros or 0,
            cost_source="priced" if self._price_micros else "free",
        )

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """Draw the image in a thread and encode it as asked."""
        return await asyncio.to_thread(self._draw, job)

    async def cancel(self, prediction: Prediction) -> None:
        """Nothing runs anywhere else."""

    async def close(self) -> None:
        """Nothing is open."""

    def _draw(self, job: Job) -> bytes:
        # Pillow loads when the first image is drawn: commands that only plan or list start without it.
        from tasks.backends.sketch.art import draw  # noqa: PLC0415
        from tasks.store.encode import encode  # noqa: PLC0415

        width, height = resolve_requested_size(job, default=DEFAULT_SIZE_PX, grid_px=GRID_PX)
        image = draw(
            normalize_prompt(job.prompt),
            seed=job.seed,
            width=width,
            height=height,
            steps=job.steps or DEFAULT_STEPS,
            negative_prompt=job.negative_prompt,
        )
        return encode(image, format=job.format, quality=self._output.quality)

    def _failure(self, job: Job, prediction: Prediction) -> JobError | None:
        options = self._options
        # The same prompt is refused in every run, as moderation does; the others depend on the attempt.
        if _draw_chance("moderation", normalize_prompt(job.prompt)) < options.moderation_rate:
            return Refused("rehearsed: the prompt was flagged as sensitive")
        if _draw_chance("failure", job.job_id) < options.failure_rate:
            return JobError("rehearsed: the model failed on this input")
        if _draw_chance("transient", prediction.prediction_id) < options.transient_rate:
            return Transient("rehearsed: the prediction was interrupted")
        return None


def _draw_chance(what: str, key: str) -> float:
    """A number in [0, 1) that is the same in every run, so that a rehearsal can be repeated."""
    return int.from_bytes(hashlib.sha256(f"{what}:{key}".encode()).digest()[:8], "big") / 2**64
