"""The backend `replicate`; see `tasks.backends.base.Backend` for what each method owes the engine."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import httpx
from pydantic import ValidationError

from tasks.backends.base import Allowance, BackendContext, Estimate, check_channel, close_opened
from tasks.backends.client.downloads import Delivery
from tasks.backends.client.options import find_secret_problem, read_secret
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.prices import Pricing, Used, find_price
from tasks.backends.replicate.api import ReplicateApi
from tasks.backends.replicate.input_schema import InputSchema, fetch_schema
from tasks.backends.replicate.inputs import build_input, count_images, get_megapixels, has_reference_images
from tasks.backends.replicate.models import get_model_facts
from tasks.backends.replicate.options import CREATES_PER_MIN, ModelReference, ReplicateOptions, parse_model
from tasks.backends.replicate.predictions import has_ended, parse_created, parse_ended
from tasks.backends.replicate.reference_inputs import ReferenceInputs
from tasks.backends.replicate.watcher import Watcher
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous, BatchStopped, ConfigError, JobError, Transient
from tasks.core.identity import hash_text
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction
from tasks.core.retry import retry_look
from tasks.core.settings import explain_setting
from tasks.store.references import get_media_type, get_references

RETENTION_S = 3_600.0
"""Inputs and outputs of API predictions are deleted after an hour (Replicate docs, "Data retention", read 2026-11)."""
INTERNAL_OWNER = "replicate-internal/"
CLOCK_SKEW_S = 60.0
"""By how much the provider's clock may differ from ours, for predictions of which it has told us nothing."""
LOOKUPS = 4
"""How often a lost prediction is looked for before it counts as never created."""


class ReplicateBackend:
    """One model on Replicate."""

    def __init__(self, context: BackendContext) -> None:
        """Read the settings; nothing is asked of the network.

        Raises:
            ConfigError: A setting, or the model reference, cannot be used.
        """
        self._context = context
        self._clock = Clock()
        try:
            self._options = ReplicateOptions.model_validate(context.settings.options)
            self._model = parse_model(context.settings.model)
        except ValidationError as exc:
            raise ConfigError("\n".join(explain_setting(error, context.place) for error in exc.errors())) from None
        except ValueError as exc:
            raise ConfigError(f"{context.place}.model: {exc}") from None
        check_channel(context, "api_base", self._options.api_base, self._options.api_token_env)
        self._pricing = Pricing(
            price=find_price(self._model.name, context.prices), image_micros=to_micros(context.settings.price_usd)
        )
        self._facts = get_model_facts(self._model.name)
        self._timeout_s = self._options.timeout_s or self._facts.timeout_s
        self._pictures = ReferenceInputs.of(self._facts, self._options)
        self.takes = frozenset(self._pictures.names)
        self._schema: InputSchema | None = None

    def ready(self) -> str | None:
        """Whether there is a token."""
        return find_secret_problem(self._options.api_token_env)

    def learn(self) -> None:
        """Fetch the model's input schema."""
        if self.ready() is None and self._options.check_inputs and self._schema is None:
            try:
                self._schema = fetch_schema(
                    self._model,
                    base=self._options.api_base,
                    token=self._token,
                    token_env=self._options.api_token_env,
                )
            except ConfigError as exc:
                raise ConfigError(f"{self._context.place}: {exc}") from None

    def problems(self, job: Job) -> list[str]:
        """What the model would refuse, as far as its schema is known, and pictures that would be paid for and dropped."""
        values = self._input(job)
        several = ["num_outputs: one picture is kept of each prediction; ask for more with samples"] * (
            count_images(values) > 1
        )
        return several + ([] if self._schema is None else self._schema.problems(values))

    def estimate(self, job: Job) -> Estimate:
        """The configured price, else the price table's; a price by time counts the usual time, at most the time-out."""
        usual_s = self._facts.usual_latency_s
        usual = self._used(job, usual_s)
        return Estimate(
            cost_micros=self._pricing.cost_micros(usual),
            most_micros=self._pricing.cost_micros(replace(usual, seconds=self._timeout_s)),
            latency_s=usual_s,
            priced_on=self._pricing.priced_on,
        )

    def allowance(self) -> Allowance:
        """The account's: instances with the same token share it."""
        return Allowance(
            account=f"{self._options.api_base} {hash_text(self._token)}",
            creates_per_min=self._context.settings.creates_per_min or CREATES_PER_MIN,
        )

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """One create; every end that proves nothing is `Ambiguous`."""
        values = self._input(job) | await self._pictures.sent(job, self._upload)
        answer = await self._api.create(self._model, values, cancel_after_s=self._timeout_s)
        return parse_created(answer)

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Look through the list for this model and this whole input; wait for a list that lags."""
        age_s = self._clock.now_us() / 1e6 - since.timestamp()
        if age_s > RETENTION_S - CLOCK_SKEW_S:
            raise Ambiguous("it was sent more than an hour ago; the provider has forgotten its input", cost_micros=None)
        # Always with patience: the intent may be old and the last send recent (a 429 is waited for in between), and
        # nobody knows how long before its end a killed run sent it.
        pause_s = self._options.lookup_patience_s / (LOOKUPS - 1)
        for look in range(LOOKUPS):
            if look:
                await self._clock.sleep(pause_s)
            matches = await self._matches(job, since, known)
            if len(matches) > 1:
                raise Ambiguous(f"{len(matches)} predictions have this input", cost_micros=None)
            if matches:
                return parse_created(matches[0])
        return None

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Watch the prediction until it ends, or cancel it when it takes too long."""
        try:
            answer = await self._watcher.ended(
                prediction.prediction_id, created_at=prediction.created_at, timeout_s=self._timeout_s
            )
        except TimeoutError:
            answer = await self._give_up(prediction)
        return parse_ended(answer, self._pricing, self._used(job, None))

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """Fetch the first output."""
        try:
            return await self._delivery.fetch(prediction.output)
        except JobError as error:
            # The prediction succeeded, so its price is known, whatever became of its picture.
            error.cost_micros = prediction.cost_micros
            raise

    async def cancel(self, prediction: Prediction) -> None:
        """Stop it at the provider, if it can be reached."""
        with suppress(httpx.HTTPError, BatchStopped):
            await self._api.cancel(prediction.prediction_id)

    async def close(self) -> None:
        """Close what was opened."""
        await close_opened(self, "_watcher", "_api", "_delivery")

    async def _give_up(self, prediction: Prediction) -> dict[str, Any]:
        """Cancel a prediction that takes too long; it may have ended just now."""
        try:
            answer = await self._api.cancel(prediction.prediction_id)
        except httpx.HTTPError as exc:
            raise Transient(f"no picture within {self._timeout_s:.0f} s", kind="timeout", cost_micros=None) from exc
        if not has_ended(answer):
            raise Transient(f"no picture within {self._timeout_s:.0f} s", kind="timeout", cost_micros=None)
        return answer

    async def _matches(self, job: Job, since: datetime, known: Collection[str]) -> list[dict[str, Any]]:
        """Listed predictions of this job's input that are none of its earlier attempts."""
        changing = self._pictures.uploaded(job)
        wanted = {name: value for name, value in self._input(job).items() if name not in changing}
        try:
            alike: list[dict[str, Any]] = await retry_look(httpx.HTTPError, self._clock.sleep)(
                self._listed, since, wanted
            )
        except httpx.HTTPError as exc:
            raise Ambiguous(f"the provider cannot be asked for it ({type(exc).__name__})", cost_micros=None) from exc
        return [answer for answer in alike if answer["id"] not in known]

    async def _listed(self, since: datetime, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """Of an hour's list, which may hold tens of thousands with their inputs, no more is kept than what is wanted."""
        found: list[dict[str, Any]] = []
        await self._limiter.acquire()
        async for page in self._api.list_created(since - timedelta(seconds=CLOCK_SKEW_S)):
            found += [answer for answer in page if _is_this(answer, self._model, wanted)]
            await self._limiter.acquire()
        return found

    def _input(self, job: Job) -> dict[str, Any]:
        return build_input(job, self._options, lacks=self._facts.lacks) | self._pictures.standing(job)

    async def _upload(self, data: bytes, sha256: str) -> str:
        await self._limiter.acquire()
        return await self._api.upload(data, name=f"{sha256[:16]}.{get_media_type(data).partition('/')[2]}")

    def _used(self, job: Job, seconds: float | None) -> Used:
        values = self._input(job)
        return Used(
            images=count_images(values),
            megapixels=get_megapixels(values),
            input_megapixels=None if has_reference_images(values) or get_references(job) else 0.0,
            seconds=seconds,
        )

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
        )

    @cached_property
    def _delivery(self) -> Delivery:
        return Delivery(self._options.delivery_hosts, connections=self._connections)

    @cached_property
    def _limiter(self) -> RateLimiter:
        return RateLimiter(
            self._context.share * self._options.requests_per_min, now=self._clock.monotonic_s, sleep=self._clock.sleep
        )

    @cached_property
    def _watcher(self) -> Watcher:
        return Watcher(api=self._api, limiter=self._limiter, clock=self._clock, usual_s=self._facts.usual_latency_s)


def _is_this(answer: dict[str, Any], model: ModelReference, wanted: dict[str, Any]) -> bool:
    """Whether a listed prediction is of this model and this whole input; the provider may have added defaults."""
    listed = answer.get("input") or {}
    return _is_of(answer, model) and all(name in listed and listed[name] == value for name, value in wanted.items())


def _is_of(answer: dict[str, Any], model: ModelReference) -> bool:
    # The service may answer with a name of its own for the model that was asked for, and with "hidden" for its
    # version (captured answers of 2024-2026): such a prediction is told by its input alone.
    name, version = str(answer.get("model", "")), answer.get("version")
    if name.startswith(INTERNAL_OWNER):
        return True
    other_version = model.version is not None and _is_hash(version) and version != model.version
    return name.partition(":")[0] == model.name and not other_version


def _is_hash(version: object) -> bool:
    return isinstance(version, str) and re.fullmatch(r"[0-9a-f]{64}", version) is not None
