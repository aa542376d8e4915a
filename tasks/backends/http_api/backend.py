"""The backend `http`; see `tasks.backends.base.Backend` for what each method owes the engine.

Whether a create that was not answered may be sent again, nobody knows of an API that is only described. So it is held,
unless the configuration says how to look for it (`find`), that equal requests make one prediction
(`idempotency_header`), or that nothing can be lost (`price_usd: 0`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any

import httpx

from tasks.backends.base import (
    Allowance,
    BackendContext,
    Estimate,
    check_channel,
    close_opened,
    find_taken,
    read_options,
)
from tasks.backends.client.downloads import Delivery
from tasks.backends.client.options import read_secret
from tasks.backends.client.polling import Polling
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.client.service_clock import ServiceClock
from tasks.backends.http_api import answers
from tasks.backends.http_api.answers import CreateAnswer, ImageOutput
from tasks.backends.http_api.api import DescribedApi, parse_id
from tasks.backends.http_api.options import BASE64, HttpOptions
from tasks.backends.http_api.template import fill_address
from tasks.backends.http_api.values import find_image_problems, resolve_size
from tasks.backends.prices import Pricing, Used, find_price
from tasks.core.clock import Clock, to_instant
from tasks.core.errors import (
    Ambiguous,
    BatchStopped,
    JobError,
    NotCreated,
    OutputGone,
    Refused,
    Rejected,
    Throttled,
    Transient,
)
from tasks.core.identity import hash_text
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction
from tasks.core.retry import retry_look

LOOKUPS = 4
"""How often a lost prediction is looked for before it counts as never created, or a create is repeated under its key."""
REPEAT_PAUSE_S = 2.0


class HttpBackend:
    """One described API."""

    def __init__(self, context: BackendContext) -> None:
        """Read the settings; nothing is asked of the network.

        Raises:
            ConfigError: A setting cannot be used.
        """
        self._context = context
        self._clock = Clock()
        self._options = read_options(context, HttpOptions)
        for setting, url, variable in self._options.secret_channels():
            check_channel(context, setting, url, variable)
        self._pricing = Pricing(
            price=find_price(context.settings.model, context.prices), image_micros=to_micros(context.settings.price_usd)
        )
        self.takes = frozenset(name.removesuffix(BASE64) for name in self._options.pictures())
        self._one_question = asyncio.Lock()
        self._unanswered: dict[str, int] = {}
        """Attempts of this process whose create was not answered yet, by job."""

    def ready(self) -> str | None:
        """Whether every variable that the calls name is set."""
        missing = [name for name in self._options.variables() if not read_secret(name)]
        return f"set {', '.join(missing)}" if missing else None

    def learn(self) -> None:
        """There is nobody to ask what the API takes."""

    def problems(self, job: Job) -> list[str]:
        """Nothing is known of what the API takes; but what cannot be sent at all is said."""
        lost = bool(job.backend_opts) and self._options.create.body is None
        found = ["backend_opts: create has no body that they could be sent in"] * lost
        return found + find_image_problems(job, self._options)

    def estimate(self, job: Job) -> Estimate:
        """The configured price, or one from the price table."""
        cost_micros = self._pricing.cost_micros(self._used(job))
        return Estimate(
            cost_micros=cost_micros,
            most_micros=cost_micros,
            latency_s=self._options.usual_latency_s,
            priced_on=self._pricing.priced_on,
        )

    def allowance(self) -> Allowance:
        """Instances that create at the same address with the same keys share it."""
        keys = "".join(read_secret(name) for name in self._options.variables())
        return Allowance(
            account=f"{httpx.URL(fill_address(self._options.create.url, {})).host} {hash_text(keys)}",
            creates_per_min=self._context.settings.creates_per_min,
        )

    @property
    def keeps_list(self) -> bool:
        """True where `find` lists predictions that are polled by their ids."""
        return self._options.find is not None and self._options.poll is not None

    async def read_service_time_us(self) -> int | None:
        """The service's time, where a look-up will need it; the first caller asks for it."""
        if self._options.find is None:
            return None
        async with self._one_question:
            if self._service_clock.now_us() is None:
                with suppress(httpx.HTTPError):
                    await self._api.ask_time()
        return self._service_clock.now_us()

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """One create; every end that proves nothing is `Ambiguous`."""
        self._unanswered[job.job_id] = attempt
        try:
            prediction = self._created(job, await self._api.create(job, attempt=attempt))
        except Ambiguous:
            raise
        except (JobError, BatchStopped):
            self._unanswered.pop(job.job_id, None)
            raise
        self._unanswered.pop(job.job_id, None)
        return prediction

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """What the configuration says: nothing to lose, a look-up, the same create once more; else nobody knows."""
        if self._pricing.free:
            return None
        if self._options.find is not None:
            return await self._look_up(job, since, known, pause_s=self._options.find.patience_s / (LOOKUPS - 1))
        if self._options.idempotency_header is not None and job.job_id in self._unanswered:
            return await self._repeat(job)
        raise Ambiguous("the configuration names no look-up (find), so nobody knows", cost_micros=None)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """The answer that came with the create, or the one that polling ends with."""
        made = await self._polled(prediction) if self._options.poll is not None else self._answered(prediction)
        return self._ended(job, prediction, made)

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """The bytes that came, those at the address that came, or those of the call `result`."""
        made: ImageOutput = prediction.output
        if made.picture is not None:
            return made.picture
        try:
            return await self._delivery.fetch(self._api.address_of(made.address or ""))
        except JobError as error:
            error.cost_micros = prediction.cost_micros
            raise

    async def cancel(self, prediction: Prediction) -> None:
        """Stop it, where the configuration says how and the service can be reached."""
        if self._options.cancel is not None:
            with suppress(httpx.HTTPError, BatchStopped, OutputGone):
                await self._api.ask(
                    self._options.cancel, {"id": prediction.prediction_id, "model": self._context.settings.model}
                )

    async def close(self) -> None:
        """Close what was opened."""
        await close_opened(self, "_api", "_delivery")

    def _created(self, job: Job, answer: httpx.Response) -> Prediction:
        options = self._options
        if options.poll is not None:
            return Prediction(prediction_id=parse_id(answer, options), created_at=to_instant(self._clock.now_us()))
        name = answer.headers.get("x-request-id") or f"imagen-{job.job_id[:32]}"
        if options.output.kind == "bytes":
            return Prediction(prediction_id=name, output=ImageOutput(picture=answer.content))
        try:
            return Prediction(prediction_id=name, output=CreateAnswer(document=answer.json()))
        except ValueError as exc:
            raise Ambiguous("the answer to a create could not be read: it is not JSON", cost_micros=None) from exc

    def _answered(self, prediction: Prediction) -> ImageOutput:
        """The picture of an answer that came with the create; in another process there is none."""
        match prediction.output:
            case ImageOutput() as made:
                return made
            case CreateAnswer(document=document):
                return answers.read_output(document, self._options, self._words(document))
        raise OutputGone(
            "it was made and paid for, but its run ended before it was on disk, and its service cannot be asked",
            cost_micros=self._pricing.image_micros,
        )

    def _ended(self, job: Job, prediction: Prediction, made: ImageOutput) -> Prediction:
        priced = self._pricing.cost_micros(self._used(job))
        cost_micros = priced if made.cost_micros is None else made.cost_micros
        source = "free" if self._pricing.free else "priced" if made.cost_micros is None else "reported"
        return Prediction(
            prediction_id=prediction.prediction_id,
            output=made,
            cost_micros=cost_micros,
            cost_source=None if cost_micros is None else source,
        )

    async def _polled(self, prediction: Prediction) -> ImageOutput:
        options = self._options

        async def look() -> Any:
            if options.poll is None:
                return None
            document = await self._api.poll(options.poll, prediction.prediction_id)
            return document if answers.has_ended(document, options) else None

        try:
            document = await self._polling.until(
                look, timeout_s=options.timeout_s, is_fresh=prediction.created_at is not None
            )
        except TimeoutError:
            await self.cancel(prediction)
            raise Transient(f"no picture within {options.timeout_s:.0f} s", kind="timeout", cost_micros=None) from None
        if not answers.has_succeeded(document, options):
            raise answers.build_failure(document, options, self._words(document))
        return await self._result(document, prediction)

    async def _result(self, document: Any, prediction: Prediction) -> ImageOutput:
        """The picture, from the last poll or from a call of its own."""
        options = self._options
        if options.result is None:
            return answers.read_output(document, options, self._words(document))
        values = {"id": prediction.prediction_id, "model": self._context.settings.model}
        try:
            answer: httpx.Response = await retry_look(httpx.HTTPError, self._clock.sleep)(
                self._api.ask, options.result, values
            )
        except httpx.HTTPError as exc:
            raise JobError(
                f"its result cannot be had ({self._api.calls.describe_error(exc)})", cost_micros=None
            ) from exc
        if options.output.kind == "bytes":
            return ImageOutput(picture=answer.content, cost_micros=answers.read_cost_micros(document, options))
        try:
            document = answer.json()
        except ValueError as exc:
            raise JobError("its result cannot be read", kind="no_output", cost_micros=None) from exc
        return answers.read_output(document, options, self._words(document))

    def _words(self, document: Any) -> str:
        return self._api.calls.error_text(answers.read_error_text(document, self._options))

    async def _look_up(self, job: Job, since: datetime, known: Collection[str], *, pause_s: float) -> Prediction | None:
        for look in range(LOOKUPS):
            if look:
                await self._clock.sleep(pause_s)
            await self._limiter.acquire()
            try:
                listed: list[str] = await retry_look(httpx.HTTPError, self._clock.sleep)(self._api.listed, job, since)
            except (httpx.HTTPError, OutputGone) as exc:
                raise Ambiguous(f"the look-up gives no answer ({type(exc).__name__})", cost_micros=None) from exc
            taken = await find_taken(known, listed)
            found = [prediction_id for prediction_id in dict.fromkeys(listed) if prediction_id not in taken]
            # A list by job holds the other batches' predictions of the same job, so any that is free is as good.
            if len(found) > 1 and not (getattr(known, "is_complete", False) and self._options.finds_by_job()):
                raise Ambiguous(f"the look-up shows {len(found)} predictions of this job", cost_micros=None)
            if found:
                return Prediction(prediction_id=found[0])
        return None

    async def _repeat(self, job: Job) -> Prediction:
        """The same create under the same key, which the service answers with the same prediction."""
        attempt = self._unanswered[job.job_id]
        for _ in range(LOOKUPS):
            await self._clock.sleep(REPEAT_PAUSE_S)
            try:
                return await self.submit(job, attempt=attempt)
            except Throttled as error:
                self._unanswered[job.job_id] = attempt
                await self._clock.sleep(error.retry_after_s or REPEAT_PAUSE_S)
            except (Ambiguous, NotCreated):
                self._unanswered[job.job_id] = attempt
            except (Rejected, Refused) as error:
                # It says no to the repetition; what became of the first one, it does not say.
                raise Ambiguous(
                    f"the same create under the same key was refused ({error})", cost_micros=None
                ) from error
        raise Ambiguous("the same create under the same key was not answered either", cost_micros=None)

    def _used(self, job: Job) -> Used:
        width, height = resolve_size(job, self._options)
        return Used(
            images=1,
            megapixels=width * height / 1e6 if width and height else None,
            input_megapixels=None if job.image else 0.0,
        )

    @cached_property
    def _connections(self) -> int:
        return self._context.settings.concurrency + 8

    @cached_property
    def _api(self) -> DescribedApi:
        return DescribedApi(
            self._options,
            model=self._context.settings.model,
            secrets={name: read_secret(name) for name in self._options.variables()},
            connections=self._connections,
            batch=self._context.batch,
        )

    @cached_property
    def _service_clock(self) -> ServiceClock:
        clock = ServiceClock(self._clock.monotonic_s)
        self._api.calls.http.event_hooks["response"].append(clock.hear)
        return clock

    @cached_property
    def _delivery(self) -> Delivery:
        return Delivery([self._api.service, *self._options.delivery_hosts], connections=self._connections)

    @cached_property
    def _limiter(self) -> RateLimiter:
        return RateLimiter(self._options.requests_per_min, now=self._clock.monotonic_s, sleep=self._clock.sleep)

    @cached_property
    def _polling(self) -> Polling:
        return Polling(limiter=self._limiter, clock=self._clock, usual_s=self._options.usual_latency_s)
