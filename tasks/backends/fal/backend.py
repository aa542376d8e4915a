"""The backend `fal`; see `tasks.backends.base.Backend` for what each method owes the engine.

The queue keeps a request and its result by id, and has no list that shows what was asked for: a submit whose answer was
lost cannot be found. It is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any

import httpx

from tasks.backends.base import Allowance, BackendContext, Estimate, check_channel, close_opened, read_options
from tasks.backends.client.answers import parse_json_object
from tasks.backends.client.downloads import Delivery
from tasks.backends.client.options import find_secret_problem, read_secret
from tasks.backends.client.polling import Polling
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.fal.api import COMPLETED, FalApi
from tasks.backends.fal.inputs import MOST_MEGAPIXELS, build_input, estimate_megapixels, find_problems
from tasks.backends.fal.options import PRICING_BASE, FalOptions, parse_model
from tasks.backends.fal.quote import ask_quote
from tasks.backends.fal.reference_images import build_image_inputs, get_image_inputs
from tasks.backends.fal.results import build_failure, find_images, is_flagged, read_megapixels
from tasks.backends.prices import MOST_IMAGES, Pricing, Used, find_price, parse_seconds
from tasks.backends.quotes import Quote
from tasks.core.clock import Clock, to_instant
from tasks.core.errors import Ambiguous, ConfigError, JobError, Refused, Transient
from tasks.core.identity import hash_text
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction


class FalBackend:
    """One model on fal.ai."""

    def __init__(self, context: BackendContext) -> None:
        """Read the settings; nothing is asked of the network.

        Raises:
            ConfigError: A setting, or the model's id, cannot be used.
        """
        self._context = context
        self._clock = Clock()
        self._options = read_options(context, FalOptions)
        check_channel(context, "queue_base", self._options.queue_base, self._options.api_key_env)
        if self._options.pricing_base is not None:
            check_channel(context, "pricing_base", self._options.pricing_base, self._options.api_key_env)
        try:
            self._model = parse_model(context.settings.model)
        except ValueError as exc:
            raise ConfigError(f"{context.place}.model: {exc}") from None
        self.takes = frozenset(get_image_inputs(self._options))
        self._pricing = Pricing(
            price=find_price(self._model, context.prices), image_micros=to_micros(context.settings.price_usd)
        )

    def ready(self) -> str | None:
        """True if there is a key."""
        return find_secret_problem(self._options.api_key_env)

    def learn(self) -> None:
        """A model refuses a wrong input itself, and most do so before they cost anything."""

    def problems(self, job: Job) -> list[str]:
        """List the inputs that cannot be sent, and images that would be dropped."""
        return find_problems(job, self._options)

    def estimate(self, job: Job) -> Estimate:
        """The configured price, else the price table's."""
        # Where the request names no size, a budget sets the most aside that an image of the usual models has.
        most = estimate_megapixels(job, self._options, untold=MOST_MEGAPIXELS)
        return Estimate(
            cost_micros=self._pricing.cost_micros(self._used(job, estimate_megapixels(job, self._options))),
            most_micros=self._pricing.cost_micros(self._used(job, most)),
            latency_s=self._options.usual_latency_s,
            priced_on=self._pricing.priced_on,
        )

    @property
    def states_prices(self) -> bool:
        """True where the queue is fal.ai's own, or its prices have an address of their own."""
        return self._options.find_pricing_base() is not None

    async def quote(self, job: Job) -> Quote:
        """fal.ai's own price of a job; free."""
        used = self._used(job, estimate_megapixels(job, self._options))
        return await ask_quote(self._options.find_pricing_base() or PRICING_BASE, self._api, self._model, used)

    def allowance(self) -> Allowance:
        """The key's. The queue takes any number; how many run at once is the account's affair."""
        return Allowance(
            account=f"{self._options.queue_base} {hash_text(self._key)}",
            creates_per_min=self._context.settings.creates_per_min,
        )

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """One request into the queue."""
        images = await asyncio.to_thread(build_image_inputs, job, self._options)
        request_id = await self._api.submit({**images, **build_input(job, self._options)})
        return Prediction(prediction_id=request_id, created_at=to_instant(self._clock.now_us()))

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Nobody can tell, which matters only where an image costs something."""
        if self._pricing.free:
            return None
        raise Ambiguous("the queue has no list of what was submitted", cost_micros=None)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Ask for the request until it has ended, or cancel it when it takes too long."""
        try:
            ended, answer = await self._polling.until(
                lambda: self._look(prediction.prediction_id),
                timeout_s=self._options.timeout_s,
                is_fresh=prediction.created_at is not None,
            )
        except TimeoutError:
            # fal may go on with what has begun; to ask is free, and saves those that are still queued.
            await self.cancel(prediction)
            seconds = self._options.timeout_s
            raise Transient(f"no image within {seconds:.0f} s", kind="timeout", cost_micros=None) from None
        if not answer.is_success:
            raise build_failure(answer, self._api.error_text(answer))
        return self._ended(job, prediction, ended, parse_json_object(answer))

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """Fetch the first image, without the key."""
        try:
            return await self._delivery.fetch(prediction.output)
        except JobError as error:
            error.cost_micros = prediction.cost_micros
            raise

    async def cancel(self, prediction: Prediction) -> None:
        """Ask to stop it, if the queue can be reached; what has begun may run on and be billed."""
        with suppress(httpx.HTTPError):
            await self._api.cancel(prediction.prediction_id)

    async def close(self) -> None:
        """Close what was opened."""
        await close_opened(self, "_api", "_delivery")

    async def _look(self, request_id: str) -> tuple[dict[str, Any], httpx.Response] | None:
        """The last status and the result of a request that has ended; None while it runs."""
        status = await self._api.status(request_id)
        return (status, await self._api.result(request_id)) if status["status"] == COMPLETED else None

    def _ended(self, job: Job, prediction: Prediction, status: dict[str, Any], body: dict[str, Any]) -> Prediction:
        images = find_images(body)
        # The size that came is billed, which may differ from the one that was asked for.
        size = (read_megapixels(images[0]) if images else None) or estimate_megapixels(job, self._options)
        metrics = status.get("metrics")
        seconds = parse_seconds(metrics.get("inference_time")) if isinstance(metrics, dict) else None
        cost_micros = self._pricing.cost_micros(self._used(job, size, seconds, images=max(1, len(images))))
        # The safety checker blackens the image and answers as if it had succeeded; the black image is billed.
        if is_flagged(body):
            raise Refused("the image was flagged and blackened", cost_micros=cost_micros)
        if not images:
            raise JobError("the request ended without an image", kind="no_output", cost_micros=cost_micros)
        return Prediction(
            prediction_id=prediction.prediction_id,
            output=images[0]["url"],
            further=tuple(image["url"] for image in images[1:MOST_IMAGES]),
            images=len(images),
            predict_time_s=seconds,
            cost_micros=cost_micros,
            cost_source=None if cost_micros is None else "free" if self._pricing.free else "priced",
        )

    def _used(self, job: Job, size: float | None, seconds: float | None = None, *, images: int = 1) -> Used:
        return Used(images=images, megapixels=size, input_megapixels=None if job.image else 0.0, seconds=seconds)

    @property
    def _key(self) -> str:
        return read_secret(self._options.api_key_env)

    @cached_property
    def _connections(self) -> int:
        return self._context.settings.concurrency + 8

    @cached_property
    def _api(self) -> FalApi:
        return FalApi(self._options, model=self._model, key=self._key, connections=self._connections)

    @cached_property
    def _delivery(self) -> Delivery:
        return Delivery(self._options.delivery_hosts, connections=self._connections)

    @cached_property
    def _polling(self) -> Polling:
        limiter = RateLimiter(self._options.requests_per_min, now=self._clock.monotonic_s, sleep=self._clock.sleep)
        return Polling(limiter=limiter, clock=self._clock, usual_s=self._options.usual_latency_s)
