"""The backend `diffusers`; see `tasks.backends.base.Backend` for what each method owes the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cached_property

from pydantic import ValidationError

from tasks.backends.base import Allowance, BackendContext, Estimate
from tasks.backends.diffusers_local.calls import GUIDANCE, IMAGE, MASK, TEXT, Signature, build_call
from tasks.backends.diffusers_local.device import PipelineSpec, choose_device
from tasks.backends.diffusers_local.model import fetch_model, find_missing, parse_model
from tasks.backends.diffusers_local.options import RESIDENT, DiffusersOptions
from tasks.backends.diffusers_local.pipelines import find_problems, read_signatures
from tasks.backends.diffusers_local.quantizing import UNQUANTIZED
from tasks.backends.diffusers_local.sharing import acquire_worker, release_worker
from tasks.backends.diffusers_local.worker import PipelineWorker
from tasks.core.configuration.yaml_file import explain_setting
from tasks.core.errors import ConfigError, JobError, Refused
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction
from tasks.store.references import get_references, read_reference

S_PER_HOUR = 3_600.0


class DiffusersBackend:
    """One model on this machine's device. Nothing outlives the process: what a kill interrupted is made again."""

    takes = (IMAGE, MASK)
    """True if the model's family has a pipeline for them is known when its index has been read."""

    def __init__(self, context: BackendContext) -> None:
        """Read the settings; neither torch nor the model is loaded.

        Raises:
            ConfigError: A setting, or the model reference, cannot be used.
        """
        self._context = context
        try:
            self._options = DiffusersOptions.model_validate(context.settings.options)
            model = parse_model(context.settings.model)
        except ValidationError as exc:
            raise ConfigError("\n".join(explain_setting(error, context.place) for error in exc.errors())) from None
        except ValueError as exc:
            raise ConfigError(f"{context.place}.model: {exc}") from None
        options = self._options
        self._spec = PipelineSpec(
            model=model,
            device=options.device,
            dtype=options.dtype,
            offload=options.offload,
            quantize=options.quantize,
        )
        # A call never waits for more jobs than can be in flight.
        self._most = min(options.batch_size, context.settings.concurrency)
        self._image_s = options.latency_s
        self._signatures: Mapping[str, Signature] = {}

    def ready(self) -> str | None:
        """True if the libraries and the model's folder are here."""
        return find_missing(self._spec.model, quantize=self._spec.quantize != UNQUANTIZED)

    def learn(self) -> None:
        """Have the model's files here, whatever it takes, and read what its pipeline takes."""
        if self.ready() is not None or self._signatures:
            return
        try:
            choose_device(self._spec)
            self._signatures = read_signatures(fetch_model(self._spec.model))
        # The message names the instance, because a configuration may have several of this type.
        except ConfigError as exc:
            raise ConfigError(f"{self._context.place}: {exc}") from None
        if self._options.default_guidance is not None and GUIDANCE not in self._signatures[TEXT].defaults:
            pipeline = self._signatures[TEXT].pipeline
            raise ConfigError(f"{self._context.place}: default_guidance: {pipeline} takes no {GUIDANCE}")

    def problems(self, job: Job) -> list[str]:
        """List the inputs that the pipeline would refuse or ignore."""
        if job.image is not None and self._options.offload != RESIDENT:
            return [f"image: goes with offload: {RESIDENT} only; the offloaded pipeline cannot be shared"]
        # Without the model's index nothing is known of its pipeline; `learn` reads it before a run.
        return find_problems(self._signatures, build_call(job, self._options)) if self._signatures else []

    def estimate(self, job: Job) -> Estimate:
        """The price of the device's time: the configured one at first, then that of the last image made."""
        # The device makes one image after another, so one that is in flight waits for all the others.
        latency_s = self._image_s * self._context.settings.concurrency
        cost_micros = self._cost_micros(self._image_s)
        # Nobody bills it, so what a budget sets aside is an estimate too.
        return Estimate(cost_micros=cost_micros, most_micros=cost_micros, latency_s=latency_s)

    def allowance(self) -> Allowance:
        """The device sets its own pace."""
        return Allowance(account=self._context.name, creates_per_min=self._context.settings.creates_per_min)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """Give the attempt an id that says which one it is, so that any process can go on with it."""
        for reference in get_references(job).values():
            if reference.is_file:
                await asyncio.to_thread(read_reference, reference)
        return Prediction(prediction_id=f"local-{job.job_id[:20]}-{attempt}")

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Nothing outlives the process that submitted it."""
        return None

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Make the image, together with others that wait; the same seed makes the same one after a restart."""
        from tasks.backends.diffusers_local.image_inputs import read_image_inputs

        call = await asyncio.to_thread(read_image_inputs, build_call(job, self._options))
        request = self._worker.ask(call, most=self._most)
        try:
            image = await asyncio.wrap_future(request.image)
        except JobError as error:
            error.cost_micros = self._cost_micros(request.spent_s, images=0)
            raise
        self._image_s = request.spent_s
        cost_micros = self._cost_micros(request.spent_s)
        if image.flagged:
            raise Refused("the pipeline's safety checker flagged the image", cost_micros=cost_micros)
        return Prediction(
            prediction_id=prediction.prediction_id,
            model_version=self._worker.version,
            output=image.image,
            predict_time_s=request.spent_s,
            cost_micros=cost_micros,
            cost_source=None if cost_micros is None else "priced" if cost_micros else "free",
        )

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """Encode the image as asked, in a thread of its own: the device goes on meanwhile."""
        from tasks.store.encode import encode

        # Encoding a PNG takes longer than a step of a small model, so it must not hold the event loop.
        quality = self._context.output.quality
        return await asyncio.to_thread(encode, prediction.output, format=job.format, quality=quality)

    async def cancel(self, prediction: Prediction) -> None:
        """A call that nobody waits for any more ends by itself after its present step."""

    async def close(self) -> None:
        """Unload the model, unless another instance uses it."""
        if "_worker" in vars(self):
            release_worker(self._spec)
            del self._worker

    @cached_property
    def _worker(self) -> PipelineWorker:
        return acquire_worker(self._spec)

    def _cost_micros(self, seconds: float, *, images: int = 1) -> int | None:
        """Of so much of the device's time: a price of an image wins over one of an hour; without any, unknown."""
        if not seconds:
            return 0  # a call that was refused before the device touched it
        if (price_usd := self._context.settings.price_usd) is not None:
            return to_micros(price_usd * images)
        per_hour_usd = self._options.price_usd_per_hour
        return None if per_hour_usd is None else to_micros(per_hour_usd * seconds / S_PER_HOUR)
