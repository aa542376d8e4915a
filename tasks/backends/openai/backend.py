"""The backend `openai`, one image a call; see `tasks.backends.base.Backend` for what each method owes the engine.

The answer of a call is the image, and the service keeps neither: no call that was lost can be looked up. So whatever
ends without an answer is held, and a run that is killed between an answer and the disk has lost what it paid for; it
says so, and pays again only when it is asked to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from functools import cached_property

import httpx

from tasks.backends.base import Allowance, BackendContext, Estimate, check_channel, close_opened
from tasks.backends.client.downloads import FOREIGN_HOST, Delivery, keep_answer
from tasks.backends.client.options import find_secret_problem, read_secret
from tasks.backends.client.payloads import is_data_address
from tasks.backends.openai import edits
from tasks.backends.openai.answer import ImageAnswer, RawAnswer
from tasks.backends.openai.api import EDITS, GENERATIONS, ImagesApi
from tasks.backends.openai.costs import Costs
from tasks.backends.openai.model_page import check_model_page
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.openai.request import build_body, find_problems
from tasks.backends.prices import Pricing, find_price
from tasks.backends.stated_costs import StatedCosts
from tasks.core.errors import Ambiguous, JobError, OutputGone, Refused, UnreadableAnswer
from tasks.core.identity import hash_text
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction
from tasks.store.references import INPUTS


class OpenAIBackend:
    """One model behind an images API."""

    takes: Collection[str] = INPUTS

    def __init__(self, context: BackendContext, options: OpenAIOptions) -> None:
        """Take the settings; nothing is asked of the network.

        Raises:
            ConfigError: The key would travel in clear text.
        """
        check_channel(context, "api_base", options.api_base, options.api_key_env)
        self._context = context
        self._options = options
        self._pricing = Pricing(
            # A price of the user's own, per image, wins over the tokens that the table prices.
            price=find_price(context.settings.model, context.prices, service=context.settings.service),
            image_micros=to_micros(context.settings.price_usd),
        )
        self._costs = Costs(pricing=self._pricing, options=self._options)
        self._stated = StatedCosts(context.name)

    def ready(self) -> str | None:
        """True if there is a key."""
        return None if self._options.api_key_env is None else find_secret_problem(self._options.api_key_env)

    def learn(self) -> None:
        """There is nothing to ask: the API has no description of a model's inputs."""

    def check_freely(self) -> str | None:
        """Ask for the model's page, which costs nothing; None where a server has no such page.

        Raises:
            ConfigError: The key is not accepted, or the service cannot be reached.
        """
        return check_model_page(self._context, self._options, key=self._key)

    def problems(self, job: Job) -> list[str]:
        """List the inputs that cannot be sent, or that one of OpenAI's own models would refuse."""
        return find_problems(job, self._options) + edits.find_problems(job, build_body(job, self._options))

    def estimate(self, job: Job) -> Estimate:
        """The configured price, else the tokens that such an image can be."""
        # Beforehand the tokens are bounded from above, so the estimate is the most that it can cost.
        most_micros = self._costs.most_micros(build_body(job, self._options), from_images=job.image is not None)
        return Estimate(
            cost_micros=most_micros,
            most_micros=most_micros,
            latency_s=self._options.usual_latency_s,
            priced_on=self._pricing.priced_on,
        )

    def allowance(self) -> Allowance:
        """The key's: instances with the same one share it."""
        return Allowance(
            # The key's hash, because two instances with one key share one allowance and the key must not be stored.
            account=f"{self._options.api_base} {hash_text(self._key)}",
            service=self._options.api_base,
            creates_per_min=self._context.settings.creates_per_min,
        )

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """One call, which lasts until the image is made and here."""
        body = build_body(job, self._options)
        path, content = GENERATIONS, {"json": body}
        if job.image is not None:
            # Files are read and encoded off the event loop: an edit may hold many megabytes.
            path, content = EDITS, await asyncio.to_thread(edits.build_content, job, body)
        answer = await self._api.make(path, content, client_request_id=f"{_build_log_name(job)}-{attempt}")
        return Prediction(prediction_id=answer.request_id, output=answer)

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Nobody can tell, which matters only where an image costs something."""
        # An image that costs nothing may be made again, so no job has to be held for it.
        if self._pricing.free:
            return None
        message = (
            f"the images API keeps no list of what it has made; the provider's logs know it as {_build_log_name(job)}"
        )
        raise Ambiguous(message, cost_micros=None)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """The answer that came with the submit; in another process there is none."""
        raw = prediction.output
        if not isinstance(raw, RawAnswer):
            # The create was answered, so it is billed at the fixed price; by tokens the cost is not known any more.
            raise OutputGone(
                "it was made and paid for, but its run ended before it was on disk, and the images API keeps nothing",
                cost_micros=self._pricing.image_micros,
            )
        return self._parse(job, prediction.prediction_id, raw)

    def reread(self, job: Job, raw: bytes) -> Prediction:
        """The image of an answer that was kept because it could not be read; see `UnreadableAnswer`.

        Raises:
            JobError: It holds none that can be read.
        """
        return self._parse(job, _build_log_name(job), RawAnswer(request_id=_build_log_name(job), body=raw))

    def _parse(self, job: Job, prediction_id: str, raw: RawAnswer) -> Prediction:
        try:
            answer = self._api.parse(raw)
        except UnreadableAnswer as error:
            # The whole answer came, so its fixed price is known though its tokens are not.
            error.cost_micros = self._pricing.image_micros
            raise
        ended = self._check(job, prediction_id, answer)
        # A price that the user has set stays: it may hold what the gateway cannot know, such as a discount.
        if raw.reported_micros is None or self._pricing.image_micros is not None:
            return ended
        # Counted tokens and a price are better than a cost in another unit.
        reported = self._stated.judge(raw.reported_micros, ended.cost_micros)
        return ended if reported is None else replace(ended, cost_micros=reported, cost_source="reported")

    def _check(self, job: Job, prediction_id: str, answer: ImageAnswer) -> Prediction:
        cost_micros, source = self._costs.price(answer, from_images=job.image is not None)
        if answer.image is None and answer.address is None:
            # Services without an error for it answer a refused prompt with an empty list (xAI, read 2026-11).
            raise Refused("the answer holds no image, as if it was refused", cost_micros=cost_micros)
        return Prediction(
            prediction_id=prediction_id,
            output=answer,
            further=answer.further,
            images=answer.images,
            cost_micros=cost_micros,
            cost_source=source,
        )

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """The bytes that came, or those at the address that came."""
        answer: ImageAnswer = prediction.output
        if answer.image is not None:
            return answer.image
        try:
            return await self._delivery.fetch(self._resolve(str(answer.address)))
        except JobError as error:
            error.cost_micros = prediction.cost_micros
            raise keep_answer(error, answer.raw) from error

    def _resolve(self, address: str) -> str:
        try:
            # Some servers give addresses relative to their own (LocalAI).
            return address if is_data_address(address) else str(httpx.URL(self._options.api_base).join(address))
        except httpx.InvalidURL as exc:
            raise JobError(f"the image's address cannot be read ({exc})", kind=FOREIGN_HOST, cost_micros=None) from exc

    async def cancel(self, prediction: Prediction) -> None:
        """Do nothing: an answered request has ended."""

    async def close(self) -> None:
        """Close what was opened."""
        await close_opened(self, "_api", "_delivery")

    @property
    def _key(self) -> str:
        return read_secret(self._options.api_key_env or "")

    @cached_property
    def _connections(self) -> int:
        # A few more than the jobs: a download must not wait for a create that lasts a minute.
        return self._context.settings.concurrency + 8

    @cached_property
    def _api(self) -> ImagesApi:
        return ImagesApi(
            base=self._options.api_base,
            key=self._key,
            key_env=self._options.api_key_env,
            connections=self._connections,
            timeout_s=self._options.timeout_s,
        )

    @cached_property
    def _delivery(self) -> Delivery:
        own = httpx.URL(self._options.api_base).host
        return Delivery([own, *self._options.delivery_hosts], connections=self._connections)


def _build_log_name(job: Job) -> str:
    """Beginning of the `X-Client-Request-Id` of the job's requests."""
    return f"imagen-{job.job_id[:32]}"
