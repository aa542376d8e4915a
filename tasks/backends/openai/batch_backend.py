"""The backend `openai` in `mode: batch`: half the price, within a day; see `tasks.backends.client.batches.desk`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

from tasks.backends.base import BackendContext, Estimate, close_opened, read_options
from tasks.backends.client.batches.desk import BatchDesk
from tasks.backends.client.batches.lists import BatchList
from tasks.backends.client.service_clock import ServiceClock
from tasks.backends.openai.backend import OpenAIBackend
from tasks.backends.openai.batch_api import BatchApi
from tasks.backends.openai.batch_lines import parse_line
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.openai.request import build_body
from tasks.core.clock import Clock
from tasks.core.errors import UnreadableAnswer
from tasks.core.records import Job, Prediction


class OpenAIBatchBackend(OpenAIBackend):
    """One model behind the Batch API; edits are batches of their own there, which are not made here."""

    # `/images/edits` is another endpoint, and a batch has one endpoint for all of its lines.
    takes = ()
    keeps_list = True

    def __init__(self, context: BackendContext, options: OpenAIOptions) -> None:
        """Read the settings; nothing is asked of the network."""
        super().__init__(context, options)
        self._clock = Clock()

    def estimate(self, job: Job) -> Estimate:
        """Half the price, and the time of a batch."""
        return replace(super().estimate(job), latency_s=self._options.batch_latency_s)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """Wait until the batch that holds the job is created."""
        return await self._desk.submit(job, build_body(job, self._options), attempt=attempt)

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Look for the job's name in the batches that were created since; wait for a list that lags."""
        return await self._desk.find(job, since=since, known=known)

    async def read_service_time_us(self, since: datetime | None = None) -> int | None:
        """The provider's time; the first caller asks for it, which is free."""
        return await self._service_clock.read_us(self._batches.ask_time, since)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Wait until the batch has ended and its files are here; then read the job's own line."""

        def read(line: dict[str, Any]) -> Prediction:
            try:
                return self._check(job, prediction.prediction_id, parse_line(line))
            except UnreadableAnswer as error:
                error.cost_micros = self._pricing.image_micros
                raise

        return await self._desk.wait(prediction, read)

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """The bytes of the line, or those at its address."""
        async with self._desk.fetching(prediction):
            return await super().fetch(job, prediction)

    async def cancel(self, prediction: Prediction) -> None:
        """Do nothing: a batch cannot be cancelled for one of its jobs. It is left to end, and the next run collects it."""

    async def close(self) -> None:
        """Stop waiting, and remove what was downloaded."""
        await close_opened(self, "_desk")
        await super().close()

    async def _read_names(self, batch: dict[str, Any]) -> frozenset[str]:
        return await self._batches.custom_ids(str(batch["input_file_id"]))

    @cached_property
    def _service_clock(self) -> ServiceClock:
        clock = ServiceClock(self._clock.monotonic_s)
        self._api.calls.http.event_hooks["response"].append(clock.hear)
        return clock

    @cached_property
    def _batches(self) -> BatchApi:
        return BatchApi(self._api, key_env=self._options.api_key_env)

    @cached_property
    def _desk(self) -> BatchDesk:
        return BatchDesk(
            service=self._batches,
            lists=self._context.get_shared(
                f"{self.allowance().account} batches", lambda: BatchList(self._batches, clock=self._clock)
            ),
            batch=self._context.batch,
            clock=self._clock,
            jobs=self._options.batch_jobs,
            quiet_s=self._options.batch_quiet_s,
            poll_s=self._options.batch_poll_s,
            explain=self._api.calls.describe_error,
            read_names=self._read_names,
            read_time_us=self.read_service_time_us,
        )


def open_backend(context: BackendContext) -> OpenAIBackend:
    """The instance in the mode that its settings name; nothing is asked of the network.

    Raises:
        ConfigError: A setting cannot be used.
    """
    options = read_options(context, OpenAIOptions)
    return (OpenAIBatchBackend if options.mode == "batch" else OpenAIBackend)(context, options)
