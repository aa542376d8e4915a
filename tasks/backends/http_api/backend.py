"""The backend `http`; see `tasks.backends.base.Backend` for what each method owes the engine.

Whether a create that was not answered may be sent again, nobody knows of an API that is only described. So it is held,
unless the configuration says how to look for it (`find`), that equal requests make one prediction
(`idempotency_header`), or that nothing can be lost (`price_usd: 0`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from pathlib import Path

import httpx

from tasks.backends.base import (
    Allowance,
    BackendContext,
    Estimate,
    check_channel,
    close_opened,
    read_options,
)
from tasks.backends.client.downloads import Delivery
from tasks.backends.client.options import read_secret
from tasks.backends.client.polling import Polling
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.client.service_clock import ServiceClock
from tasks.backends.http_api.answer import Answer, parse_kept
from tasks.backends.http_api.api import DescribedApi
from tasks.backends.http_api.costs import Costs
from tasks.backends.http_api.created import require_made
from tasks.backends.http_api.free_check import check_service, find_missing
from tasks.backends.http_api.ids import parse_id
from tasks.backends.http_api.lost_creates import LostCreates
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.outputs import Outputs
from tasks.backends.http_api.quote import ask_quote
from tasks.backends.http_api.request.placeholders import BASE64
from tasks.backends.http_api.request.template import fill_address
from tasks.backends.http_api.request.values import find_image_problems, find_unsent
from tasks.backends.image_counts import explain_several
from tasks.backends.prices import Pricing, find_price
from tasks.backends.quotes import Quote
from tasks.backends.stated_costs import StatedCosts
from tasks.core.clock import Clock, to_instant
from tasks.core.errors import ConfigError, JobError, Refused
from tasks.core.identity import hash_text
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction
from tasks.core.values import parse_identifier


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
        # A batch's ledger keeps the settings of its run and may come from somebody else, who could name any program.
        if self._options.token_command is not None and not Path(context.file).is_file():
            raise ConfigError(f"{context.place}.token_command: is run only where a configuration file names it")
        self._pricing = Pricing(
            price=find_price(context.settings.model, context.prices, service=context.settings.service),
            image_micros=to_micros(context.settings.price_usd),
        )
        self._costs = Costs(pricing=self._pricing, options=self._options, stated=StatedCosts(context.name))
        # `image_base64` and `image` are two ways to send the same input.
        self.states_prices = self._options.quote is not None
        self.takes = frozenset(name.removesuffix(BASE64) for name in self._options.images())

    def ready(self) -> str | None:
        """None where every variable is set and the program for the token is there, else what is missing."""
        return find_missing(self._options)

    def learn(self) -> None:
        """There is nobody to ask what the API takes."""

    def check_freely(self) -> str | None:
        """Ask the configured free call; None where there is none.

        Raises:
            ConfigError: The key is not accepted, the account is empty, or nobody answers.
        """
        return check_service(self._context, self._options, self._api)

    async def quote(self, job: Job) -> Quote:
        """The service's own price of a job; free."""
        return await ask_quote(self._options.quote, self._api, job, self._costs.count_used(job))

    def problems(self, job: Job) -> list[str]:
        """Nothing is known of what the API takes; but what cannot be sent, or would not be, is said."""
        content = self._options.create.content  # none where the prompt is in the address
        lost = bool(job.backend_opts) and content is None
        found = ["backend_opts: create has no body that they could be sent in"] * lost
        several = explain_several({**(content or {}), **job.backend_opts})
        return found + several + find_unsent(job, self._options) + find_image_problems(job, self._options)

    def estimate(self, job: Job) -> Estimate:
        """The configured price, or one from the price table."""
        return Estimate(
            cost_micros=self._costs.estimate(job),
            most_micros=self._costs.most(job),
            latency_s=self._options.usual_latency_s,
            priced_on=self._pricing.priced_on,
        )

    def allowance(self) -> Allowance:
        """Instances that create at the same address with the same keys share it."""
        # All keys of the instance decide the account; a hash of them, for this text goes into the ledger's limits.
        keys = "".join(read_secret(name) for name in self._options.variables())
        host = httpx.URL(fill_address(self._options.create.url or "", {})).host
        return Allowance(account=f"{host} {hash_text(keys)}", creates_per_min=self._context.settings.creates_per_min)

    @property
    def keeps_list(self) -> bool:
        """True where `find` lists predictions that are polled by their ids."""
        # Without polling an id means nothing to the service, so the list cannot be shared by id.
        return self._options.find is not None and self._options.poll is not None

    async def read_service_time_us(self) -> int | None:
        """The service's time, where a look-up will need it; the first caller asks for it."""
        if self._options.find is None:
            return None
        return await self._service_clock.read_us(self._api.ask_time)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """One create; every end that proves nothing is `Ambiguous`."""
        with self._lost.sending(job, attempt):
            try:
                answer = await self._api.create(job, attempt=attempt)
            except Refused as error:
                self._costs.price_error(job, error)
                raise
            return self._created(job, answer)

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Find a lost prediction as configured: a look-up, or the same create once more; else nobody knows."""
        # Nothing can be paid twice here, so an unanswered create counts as never made.
        if self._pricing.free:
            return None
        return await self._lost.find(job, since, known, self.submit)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """The answer that came with the create, or the one that polling ends with."""
        # The create's answer is here only in the process that sent it; it is not stored with the attempt.
        created = prediction.output if isinstance(prediction.output, Answer) else None
        try:
            if self._options.poll is not None:
                output = await self._outputs.wait(prediction)
            else:
                output = self._outputs.read(created)
        except JobError as error:
            self._costs.price_error(job, error)
            raise
        return self._costs.end(job, prediction, output, created)

    def reread(self, job: Job, raw: bytes) -> Prediction:
        """The image of an answer that was kept because it could not be read; see `UnreadableAnswer`.

        Raises:
            JobError: It holds none that can be read.
        """
        answer = parse_kept(raw)
        try:
            output = self._outputs.read_kept(answer)
        except JobError as error:
            self._costs.price_error(job, error)
            raise
        # The attempt's own id is in the ledger; this one only has to be an id.
        return self._costs.end(job, Prediction(prediction_id=f"imagen-{job.job_id[:32]}"), output, answer)

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """The bytes that came, those at the address that came, or those of the call `result`."""
        return await self._outputs.fetch(prediction)

    async def cancel(self, prediction: Prediction) -> None:
        """Stop it, where the configuration says how and the service can be reached."""
        await self._api.cancel(prediction.prediction_id)

    async def close(self) -> None:
        """Close what was opened."""
        await close_opened(self, "_api", "_delivery")

    def _created(self, job: Job, response: httpx.Response) -> Prediction:
        answer = self._api.parse(response)
        require_made(answer, self._api, self._options)
        if self._options.poll is not None:
            prediction_id = parse_id(answer, self._options, self._outputs.read_words(answer))
            return Prediction(prediction_id=prediction_id, created_at=to_instant(self._clock.now_us()), output=answer)
        # Some APIs name the request in a header. Without one the job names the prediction.
        name = parse_identifier(response.headers.get("x-request-id")) or f"imagen-{job.job_id[:32]}"
        return Prediction(prediction_id=name, output=answer)

    @cached_property
    def _connections(self) -> int:
        # A few beside the jobs in flight: polls, look-ups and cancels must not wait for creates that last minutes.
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
    def _lost(self) -> LostCreates:
        return LostCreates(options=self._options, api=self._api, clock=self._clock, limiter=self._limiter)

    @cached_property
    def _outputs(self) -> Outputs:
        return Outputs(
            options=self._options,
            api=self._api,
            clock=self._clock,
            polling=Polling(limiter=self._limiter, clock=self._clock, usual_s=self._options.usual_latency_s),
            lost_micros=self._pricing.image_micros,
            delivery=self._delivery,
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
