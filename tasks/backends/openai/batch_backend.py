"""The backend `openai` in `mode: batch`: half the price, within a day; see `tasks.backends.base.Backend`.

Jobs are gathered into batches; a prediction's id is the batch's and the job's name in it, so any process goes on with it
for as long as the provider keeps the batch's files. A batch whose create was not answered is found again in the list of
batches, by the names in its file.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property

from tasks.backends.base import BackendContext, Estimate, close_opened, find_taken, read_options
from tasks.backends.client.service_clock import ServiceClock, find_lead
from tasks.backends.openai.backend import OpenAIBackend
from tasks.backends.openai.batch_api import BatchApi, BatchLine
from tasks.backends.openai.batch_list import BatchList
from tasks.backends.openai.ended_batches import EndedBatches
from tasks.backends.openai.gathering import BatchGatherer
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.openai.request import build_body
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous, UnreadableAnswer
from tasks.core.records import Job, Prediction

# Of the batch's identity. With the job's 40 and two dashes, an attempt's number fits into 64 characters.
BATCH_DIGITS = 12
NAME_DIGITS = 40
"""Of the job's identity, in its name in a batch (64 characters at most)."""
# The list is asked from a minute earlier: `created_at` has whole seconds, and the time of the send is an estimate.
CLOCK_SKEW = timedelta(seconds=60)
LOOKUPS = 4
LOOKUP_PATIENCE_S = 20.0
"""The longest time until a new batch shows up in the list."""
READ_AT_ONCE = 8
"""Images taken out of a batch and not on their way to be stored yet: all of them end at the same moment."""


class OpenAIBatchBackend(OpenAIBackend):
    """One model behind the Batch API; edits are batches of their own there, which are not made here."""

    # `/images/edits` is another endpoint, and a batch has one endpoint for all of its lines.
    takes = ()
    keeps_list = True

    def __init__(self, context: BackendContext, options: OpenAIOptions) -> None:
        """Read the settings; nothing is asked of the network."""
        super().__init__(context, options)
        self._clock = Clock()
        self._reading = asyncio.Semaphore(READ_AT_ONCE)
        self._read: set[str] = set()

    def estimate(self, job: Job) -> Estimate:
        """Half the price, and the time of a batch."""
        return replace(super().estimate(job), latency_s=self._options.batch_latency_s)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """Wait until the batch that holds the job is created."""
        name = f"{self._name_stem(job)}{attempt}"
        batch_id = await self._gathering.add(BatchLine(name, build_body(job, self._options)))
        return Prediction(prediction_id=f"{batch_id}/{name}")

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Look for the job's name in the batches that were created since; wait for a list that lags."""
        own_us = self._clock.now_us()
        now_us = await self.read_service_time_us() or own_us
        begin = since - CLOCK_SKEW - find_lead(now_us, own_us)
        # A list from a time that has not come yet is empty, which would prove that nothing was made.
        if begin.timestamp() > now_us / 1e6:
            raise Ambiguous("by the clock it is sent in the future, so no list can tell", cost_micros=None)
        for look in range(LOOKUPS):
            if look:
                await self._clock.sleep(LOOKUP_PATIENCE_S / (LOOKUPS - 1))
            named = await self._list.find_named((self._name_stem(job), _get_name_stem(job)), begin)
            taken = await find_taken(known, named)
            found = [prediction_id for prediction_id in named if prediction_id not in taken]
            # Two batches with one job's name, and neither belongs to another attempt: guessing could pay for one and
            # lose the other.
            if len(found) > 1:
                raise Ambiguous(f"{len(found)} batches hold this job", cost_micros=None)
            if found:
                return Prediction(prediction_id=found[0])
        return None

    def _name_stem(self, job: Job) -> str:
        """Start of the job's names at the service: those of another batch with the same job begin differently."""
        return (
            f"{self._context.batch[:BATCH_DIGITS]}-{_get_name_stem(job)}"
            if self._context.batch
            else _get_name_stem(job)
        )

    async def read_service_time_us(self) -> int | None:
        """The provider's time; the first caller asks for it, which is free."""
        return await self._service_clock.read_us(self._batches.ask_time)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Wait until the batch has ended and its files are here; then read the job's own line."""
        batch_id, _, name = prediction.prediction_id.partition("/")
        results = await self._ended.get(batch_id)
        # Bounded: a batch of 200 images that ends at once would otherwise be decoded into memory all together.
        await self._reading.acquire()
        try:
            answer = await asyncio.to_thread(results.answer, name)
            ended = self._check(job, prediction.prediction_id, answer)
        except UnreadableAnswer as error:
            self._reading.release()
            error.cost_micros = self._pricing.image_micros
            raise
        # Whatever is raised, `fetch` will not come to give the place back.
        except BaseException:
            self._reading.release()
            raise
        finally:
            self._ended.drop_read(batch_id, results)
        self._read.add(prediction.prediction_id)
        return ended

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """The bytes of the line, or those at its address."""
        try:
            return await super().fetch(job, prediction)
        finally:
            if prediction.prediction_id in self._read:
                self._read.discard(prediction.prediction_id)
                self._reading.release()

    async def cancel(self, prediction: Prediction) -> None:
        """Do nothing: a batch cannot be cancelled for one of its jobs. It is left to end, and the next run collects it."""

    async def close(self) -> None:
        """Stop waiting, and remove what was downloaded."""
        # What is still being sent first: its answer may name a batch that is paid for.
        await close_opened(self, "_gathering")
        await close_opened(self, "_ended")
        await super().close()

    async def _create(self, lines: Sequence[BatchLine]) -> str:
        """One batch of these lines."""
        # A name of its own at every try: the same one would make two batches that nobody can tell apart.
        name = uuid.uuid4().hex
        return await self._batches.create(await self._batches.upload(lines, name), name)

    @cached_property
    def _service_clock(self) -> ServiceClock:
        clock = ServiceClock(self._clock.monotonic_s)
        self._api.calls.http.event_hooks["response"].append(clock.hear)
        return clock

    @cached_property
    def _batches(self) -> BatchApi:
        return BatchApi(self._api, key_env=self._options.api_key_env)

    @cached_property
    def _gathering(self) -> BatchGatherer:
        return BatchGatherer(
            self._create,
            most=self._options.batch_jobs,
            quiet_s=self._options.batch_quiet_s,
            sleep=self._clock.sleep,
        )

    @cached_property
    def _ended(self) -> EndedBatches:
        return EndedBatches(
            self._batches, clock=self._clock, poll_s=self._options.batch_poll_s, explain=self._api.calls.describe_error
        )

    @cached_property
    def _list(self) -> BatchList:
        return BatchList(self._batches, clock=self._clock)


def _get_name_stem(job: Job) -> str:
    """Start of the names that version 1 gave; its open batches are found too."""
    return f"{job.job_id[:NAME_DIGITS]}-"


def open_backend(context: BackendContext) -> OpenAIBackend:
    """The instance in the mode that its settings name; nothing is asked of the network.

    Raises:
        ConfigError: A setting cannot be used.
    """
    options = read_options(context, OpenAIOptions)
    return (OpenAIBatchBackend if options.mode == "batch" else OpenAIBackend)(context, options)
