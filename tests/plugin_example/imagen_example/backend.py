"""The backend `example`: a service that answers `POST /make` with a picture, at a price.

What a backend owes the engine stands in `tasks.backends.base.Backend`; what this one says with each error is what its
service proves. The service keeps no list, so an answer that was lost cannot be looked up: `find` says that nobody knows.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import datetime
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from tasks.backends.base import Allowance, BackendContext, Estimate, read_options
from tasks.backends.client.calls import HttpCalls, build_refusal
from tasks.core.errors import Ambiguous, OutputGone
from tasks.core.identity import hash_text, normalize_prompt
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction

KEY = "EXAMPLE_KEY"


class ExampleOptions(BaseModel):
    """Settings of the type `example`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    api_base: str = Field("https://example.invalid", description="where the service answers")


class ExampleBackend:
    """One account of the service."""

    def __init__(self, context: BackendContext) -> None:
        """Read the settings."""
        self._options = read_options(context, ExampleOptions)
        self._settings = context.settings
        self._price_micros = to_micros(context.settings.price_usd)

    def ready(self) -> str | None:
        """Whether there is a key."""
        return None if self._key else f"set {KEY}"

    def learn(self) -> None:
        """The service takes every prompt."""

    def problems(self, job: Job) -> list[str]:
        """None are known beforehand."""
        return []

    def estimate(self, job: Job) -> Estimate:
        """The configured price; unknown without one, never 0."""
        return Estimate(cost_micros=self._price_micros, most_micros=self._price_micros, latency_s=1.0)

    def allowance(self) -> Allowance:
        """The key's."""
        return Allowance(account=f"example {hash_text(self._key)}", creates_per_min=self._settings.creates_per_min)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """One call, which is answered with the picture."""
        body = {"prompt": normalize_prompt(job.prompt), "seed": job.seed}
        answer = await self._calls.pay("POST", "/make", json=body)
        if not answer.is_success:
            raise build_refusal(answer, self._calls.error_text(answer.text), service="example", key_env=KEY)
        return Prediction(prediction_id=answer.headers.get("x-request-id", job.job_id), output=answer.content)

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Nobody knows: the job is held, never paid for again by itself."""
        raise Ambiguous("the service keeps no list", cost_micros=None)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """The answer has the picture already; another process has not got it."""
        if prediction.output is None:
            raise OutputGone("its run ended before it was on disk", cost_micros=self._price_micros)
        return Prediction(
            prediction_id=prediction.prediction_id,
            output=prediction.output,
            cost_micros=self._price_micros,
            cost_source=None if self._price_micros is None else "priced",
        )

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """The bytes that came."""
        data: bytes = prediction.output
        return data

    async def cancel(self, prediction: Prediction) -> None:
        """What was answered has ended."""

    async def close(self) -> None:
        """Close the connections."""
        if "_calls" in vars(self):
            await self._calls.close()

    @property
    def _key(self) -> str:
        return os.environ.get(KEY, "").strip()

    @cached_property
    def _calls(self) -> HttpCalls:
        headers = {"Authorization": f"Bearer {self._key}"}
        return HttpCalls(
            base=self._options.api_base,
            headers=headers,
            secrets=[self._key],
            connections=self._settings.concurrency,
        )
