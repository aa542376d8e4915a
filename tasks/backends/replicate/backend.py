"""The backend `replicate`; see `tasks.backends.base.Backend` for what each method owes the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any

import httpx

from tasks.backends.base import Allowance, BackendContext, Estimate, Shared, check_channel, close_opened, read_options
from tasks.backends.client.downloads import Delivery
from tasks.backends.client.options import find_secret_problem, read_secret
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.client.service_clock import ServiceClock
from tasks.backends.prices import Pricing, find_price
from tasks.backends.replicate.api import ReplicateApi
from tasks.backends.replicate.estimates import Estimates
from tasks.backends.replicate.job_inputs import InputCheck, JobInputs
from tasks.backends.replicate.likeness import Comparison, SentInput
from tasks.backends.replicate.list_reading import Wanted
from tasks.backends.replicate.lost_creates import LostCreates
from tasks.backends.replicate.model_schema import ModelSchema
from tasks.backends.replicate.models import get_model_facts
from tasks.backends.replicate.options import CREATES_PER_MIN, ReplicateOptions, parse_model
from tasks.backends.replicate.prediction_times import PredictionTimes
from tasks.backends.replicate.predictions import find_addresses, has_ended, parse_created, parse_ended
from tasks.backends.replicate.reference_inputs import ReferenceInputs
from tasks.backends.replicate.unanswered import UnansweredCreates
from tasks.backends.replicate.watcher import Watcher
from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped, ConfigError, JobError, Transient
from tasks.core.identity import hash_text
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction
from tasks.store.references import get_media_type


class ReplicateBackend:
    """One model on Replicate."""

    # Predictions of all batches of the account stand in one list, so an id has to belong to exactly one attempt.
    keeps_list = True

    def __init__(self, context: BackendContext) -> None:
        """Read the settings; nothing is asked of the network.

        Raises:
            ConfigError: A setting, or the model reference, cannot be used.
        """
        self._context = context
        self._clock = Clock()
        self._options = read_options(context, ReplicateOptions)
        try:
            self._model = parse_model(context.settings.model)
        except ValueError as exc:
            raise ConfigError(f"{context.place}.model: {exc}") from None
        check_channel(context, "api_base", self._options.api_base, self._options.api_token_env)
        self._pricing = Pricing(
            price=find_price(self._model.name, context.prices), image_micros=to_micros(context.settings.price_usd)
        )
        self._facts = get_model_facts(self._model.name)
        # Some models take minutes; the usual time-out would cancel, and bill, what was about to succeed.
        self._timeout_s = self._options.timeout_s or self._facts.timeout_s
        self._inputs = JobInputs(
            options=self._options, facts=self._facts, references=ReferenceInputs.of(self._facts, self._options)
        )
        self._estimates = Estimates(self._inputs, self._pricing, timeout_s=self._timeout_s)
        self.takes = frozenset(self._inputs.references.names)

    def ready(self) -> str | None:
        """Explain what is missing before jobs can be sent; None where the token is there."""
        return find_secret_problem(self._options.api_token_env)

    def learn(self) -> None:
        """Fetch the model's input schema, where there is a token to ask with."""
        self._schema.learn()

    def check_freely(self) -> str:
        """Ask for the model's page with the token, which costs nothing."""
        self._schema.check()
        return f"{self._context.name} works: the token is accepted, and {self._model} is there. Nothing was made"

    def problems(self, job: Job) -> list[str]:
        """Inputs that the model would refuse, as far as its schema is known, and images that would be paid for and dropped."""
        return self._input_check.list_problems(job)

    def estimate(self, job: Job) -> Estimate:
        """The configured price, else the price table's; a price by time counts the usual time, at most the time-out."""
        return self._estimates.compute(job)

    def allowance(self) -> Allowance:
        """The account's rate: instances with the same token share it."""
        return Allowance(
            account=f"{self._options.api_base} {hash_text(self._token)}",
            service=self._options.api_base,
            creates_per_min=self._context.settings.creates_per_min or CREATES_PER_MIN,
        )

    async def read_service_time_us(self, since: datetime | None = None) -> int | None:
        """The provider's time; the first caller asks for it, which is free."""
        return await self._service_clock.read_us(self._api.ask_time, since)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """One create; every end that proves nothing is `Ambiguous`."""
        values = await self._inputs.build_sent(job, self._upload)
        sent = SentInput(values=values)
        wanted = Wanted(sent, self._comparison)
        with self._unanswered.sending(job.job_id, sent), self._lost_creates.sending(wanted):
            answer = await self._api.create(self._model, values, cancel_after_s=self._timeout_s)
        self._comparison.learn(answer, sent)
        created = parse_created(answer)
        self._unanswered.end(job.job_id, created.created_at)
        return created

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Look through the list for this model and this whole input; wait for a list that lags."""
        own_us = self._clock.now_us()
        now_us = await self.read_service_time_us(since) or own_us
        window = self._unanswered.find_window(job.job_id, since, now_us=now_us, own_us=own_us)
        await self._schema.load()
        lost = self._unanswered.get(job.job_id)
        found = await self._lost_creates.find(
            Wanted(await self._inputs.recall(job) if lost is None else lost.sent, self._comparison),
            window=window,
            known=known,
            patience_s=self._options.lookup_patience_s,
        )
        return None if found is None else parse_created(found)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Watch the prediction until it ends, or cancel it when it takes too long."""
        try:
            answer = await self._watcher.ended(
                prediction.prediction_id, created_at=prediction.created_at, timeout_s=self._timeout_s
            )
        except TimeoutError:
            answer = await self._give_up(prediction)
        # A list of several outputs may be the frames of one image; only the schema tells.
        if len(set(find_addresses(answer.get("output")))) > 1:
            await self._schema.load()
        frames = self._comparison.lists_frames
        return parse_ended(answer, self._pricing, self._inputs.count_used(job, None), lists_frames=frames)

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """Fetch the image at the output's address."""
        try:
            return await self._delivery.fetch(prediction.output)
        except JobError as error:
            # The prediction succeeded, so its price is known, whatever became of its image.
            error.cost_micros = prediction.cost_micros
            raise

    async def cancel(self, prediction: Prediction) -> None:
        """Stop it at the provider, if it can be reached."""
        with suppress(httpx.HTTPError, BatchStopped):
            await self._api.cancel(prediction.prediction_id)

    async def close(self) -> None:
        """Close what was opened."""
        await close_opened(self, "_watcher", "_lost_creates", "_api", "_delivery")

    async def _give_up(self, prediction: Prediction) -> dict[str, Any]:
        """Cancel a prediction that takes too long; it may have ended just now."""
        # Where the cancel is not answered either, nobody knows what was billed.
        answer: dict[str, Any] = {}
        with suppress(httpx.HTTPError):
            answer = await self._api.cancel(prediction.prediction_id)
        if not has_ended(answer):
            raise Transient(f"no image within {self._timeout_s:.0f} s", kind="timeout", cost_micros=None)
        return answer

    async def _upload(self, data: bytes, sha256: str) -> str:
        await self._limiter.acquire()
        return await self._api.upload(data, name=f"{sha256[:16]}.{get_media_type(data).partition('/')[2]}")

    def _share(self, name: str, build: Callable[[], Shared]) -> Shared:  # by account, whatever models it runs
        return self._context.get_shared(f"{self.allowance().account} {name}", build)

    @property
    def _token(self) -> str:
        return read_secret(self._options.api_token_env)

    @cached_property
    def _connections(self) -> int:
        return self._context.settings.concurrency + 8

    @cached_property
    def _api(self) -> ReplicateApi:
        return ReplicateApi(
            base=self._options.api_base,
            token=self._token,
            token_env=self._options.api_token_env,
            connections=self._connections,
            service_clock=self._service_clock,
        )

    @cached_property
    def _service_clock(self) -> ServiceClock:
        return ServiceClock(self._clock.monotonic_s)

    @cached_property
    def _unanswered(self) -> UnansweredCreates:
        return UnansweredCreates(self._service_clock, patience_s=self._options.lookup_patience_s)

    @cached_property
    def _comparison(self) -> Comparison:
        return self._share(f"comparison {self._model}", lambda: Comparison(self._model))

    @cached_property
    def _input_check(self) -> InputCheck:
        return InputCheck(self._inputs, self._comparison)

    @cached_property
    def _schema(self) -> ModelSchema:
        return ModelSchema(self._comparison, self._options, place=self._context.place)

    @cached_property
    def _lost_creates(self) -> LostCreates:
        return self._share(
            "lost creates",
            lambda: LostCreates(
                self._api, limiter=self._limiter, clock=self._clock, requests_per_min=self._requests_per_min
            ),
        )

    @cached_property
    def _delivery(self) -> Delivery:
        return Delivery(self._options.delivery_hosts, connections=self._connections)

    @cached_property
    def _limiter(self) -> RateLimiter:
        per_min, clock = self._requests_per_min, self._clock
        return self._share(f"limiter {per_min}", lambda: RateLimiter(per_min, now=clock.monotonic_s, sleep=clock.sleep))

    @property
    def _requests_per_min(self) -> float:
        return self._context.share * self._options.requests_per_min

    @cached_property
    def _watcher(self) -> Watcher:
        times = PredictionTimes(self._facts.usual_latency_s)
        return Watcher(api=self._api, limiter=self._limiter, clock=self._clock, times=times)
