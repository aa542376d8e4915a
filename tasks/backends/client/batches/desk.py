"""The way of one job through a batch: sent, found, waited for, read; see `tasks.backends.base.Backend`.

Jobs are gathered into batches; a prediction's id is the batch's and the job's name in it, so any process goes on with it
for as long as the provider keeps the batch's files. A batch whose create was not answered is found again in the list of
batches, by the names of its lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from tasks.backends.base import close_opened, find_taken
from tasks.backends.client.batches.ended import EndedBatches
from tasks.backends.client.batches.gathering import BatchGatherer
from tasks.backends.client.batches.lists import BatchList
from tasks.backends.client.batches.service import BatchLine, BatchService
from tasks.backends.client.service_clock import find_lead
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous, JobError
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


@dataclass(kw_only=True)
class BatchDesk:
    """Batches of one instance; usable inside one event loop."""

    service: BatchService
    lists: BatchList
    """Of the account: instances share it, so that what they have lost is looked for together."""
    batch: str
    """Identity of the batch of jobs; empty where there is none."""
    clock: Clock
    jobs: int
    """Of one batch at most."""
    quiet_s: float
    """A batch goes when no job has come for so long."""
    poll_s: float
    explain: Callable[[BaseException], str]
    """Writes an error without secrets."""
    read_names: Callable[[dict[str, Any]], Awaitable[frozenset[str]]]
    """The names of the lines of a listed batch."""
    read_time_us: Callable[[datetime], Awaitable[int | None]]
    """The provider's time, which was this one before."""
    _reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READ_AT_ONCE))
    _read: set[str] = field(default_factory=set)

    async def submit(self, job: Job, body: Mapping[str, Any], *, attempt: int) -> Prediction:
        """Wait until the batch that holds the job is created."""
        name = f"{self._name_stem(job)}{attempt}"
        batch_id = await self._gathering.add(BatchLine(name, body))
        return Prediction(prediction_id=f"{batch_id}/{name}")

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Look for the job's name in the batches that were created since; wait for a list that lags.

        Raises:
            Ambiguous: It cannot be told.
        """
        own_us = self.clock.now_us()
        now_us = await self.read_time_us(since) or own_us
        begin = since - CLOCK_SKEW - find_lead(now_us, own_us)
        # A list from a time that has not come yet is empty, which would prove that nothing was made.
        if begin.timestamp() > now_us / 1e6:
            raise Ambiguous("by the clock it is sent in the future, so no list can tell", cost_micros=None)
        stems = (self._name_stem(job), _get_name_stem(job))
        for look in range(LOOKUPS):
            if look:
                await self.clock.sleep(LOOKUP_PATIENCE_S / (LOOKUPS - 1))
            named = await self.lists.find_named(stems, begin, self.read_names)
            taken = await find_taken(known, named)
            found = [prediction_id for prediction_id in named if prediction_id not in taken]
            # Two batches with one job's name, and neither belongs to another attempt: guessing could pay for one and
            # lose the other.
            if len(found) > 1:
                raise Ambiguous(f"{len(found)} batches hold this job", cost_micros=None)
            if found:
                return Prediction(prediction_id=found[0])
        return None

    async def wait(self, prediction: Prediction, read: Callable[[dict[str, Any]], Prediction]) -> Prediction:
        """Wait until the batch has ended and its files are here; then read the job's own line.

        Args:
            prediction: The job's.
            read: Gives the ended prediction of a line's object, in a thread.

        Raises:
            JobError: It ended without an image.
        """
        batch_id, _, name = prediction.prediction_id.partition("/")
        results = await self._ended.get(batch_id)
        # Bounded: a batch of 200 images that ends at once would otherwise be decoded into memory all together.
        await self._reading.acquire()
        try:
            ended = await asyncio.to_thread(lambda: read(results.read_line(name)))
        # Whatever is raised, `fetch` will not come to give the place back.
        except BaseException:
            self._reading.release()
            raise
        finally:
            self._ended.drop_read(batch_id, results)
        self._read.add(prediction.prediction_id)
        return ended

    async def list_names(self, batch_id: str) -> frozenset[str]:
        """The names in a batch's results, once it has ended.

        Raises:
            JobError: The results name not all of its jobs, so they do not tell which were in it.
        """
        results = await self._ended.get(batch_id)
        if not results.is_whole():
            raise JobError(f"batch {batch_id} has ended without the results of all its jobs", cost_micros=None)
        return results.names()

    @asynccontextmanager
    async def fetching(self, prediction: Prediction) -> AsyncIterator[None]:
        """The image is taken out: at the end of the block its place is free for another one."""
        try:
            yield
        finally:
            if prediction.prediction_id in self._read:
                self._read.discard(prediction.prediction_id)
                self._reading.release()

    async def close(self) -> None:
        """Stop waiting, and remove what was downloaded."""
        # What is still being sent first: its answer may name a batch that is paid for.
        await close_opened(self, "_gathering")
        await close_opened(self, "_ended")

    def _name_stem(self, job: Job) -> str:
        """Start of the job's names at the service: those of another batch with the same job begin differently."""
        return f"{self.batch[:BATCH_DIGITS]}-{_get_name_stem(job)}" if self.batch else _get_name_stem(job)

    @cached_property
    def _gathering(self) -> BatchGatherer:
        return BatchGatherer(self.service.send, most=self.jobs, quiet_s=self.quiet_s, sleep=self.clock.sleep)

    @cached_property
    def _ended(self) -> EndedBatches:
        return EndedBatches(self.service, clock=self.clock, poll_s=self.poll_s, explain=self.explain)


def _get_name_stem(job: Job) -> str:
    """Start of the names that version 1 gave; its open batches are found too."""
    return f"{job.job_id[:NAME_DIGITS]}-"
