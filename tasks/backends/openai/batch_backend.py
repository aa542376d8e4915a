"""The backend `openai` in `mode: batch`: half the price, within a day; see `tasks.backends.base.Backend`.

Jobs are gathered into batches; a prediction's id is the batch's and the job's name in it, so any process goes on with it
for as long as the provider keeps the batch's files. A batch whose create was not answered is found again in the list of
batches, by the names in its file.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tasks.backends.base import BackendContext, Estimate, find_taken, read_options
from tasks.backends.client.service_clock import ServiceClock
from tasks.backends.openai.backend import OpenAIBackend
from tasks.backends.openai.batch_api import ENDED, BatchApi, BatchLine
from tasks.backends.openai.batch_results import BatchResults
from tasks.backends.openai.gathering import BatchGatherer
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.openai.request import build_body
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous, BatchStopped, JobError, OutputGone, UnreadableAnswer
from tasks.core.records import Job, Prediction
from tasks.core.retry import retry_look

BATCH_DIGITS = 12
NAME_DIGITS = 40
"""Of the job's identity, in its name in a batch (64 characters at most)."""
CLOCK_SKEW = timedelta(seconds=60)
LOOKUPS = 4
LOOKUP_PATIENCE_S = 20.0
"""How long a new batch may take to show up in the list."""
READ_AT_ONCE = 8
"""Images taken out of a batch and not on their way to be stored yet: all of them end at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at the list of batches."""

    begun_s: float
    """Monotonic instant: who asked later has to look again."""
    since: datetime
    batches: list[dict[str, Any]]


class OpenAIBatchBackend(OpenAIBackend):
    """One model behind the Batch API; edits are batches of their own there, which are not made here."""

    takes = ()
    keeps_list = True

    def __init__(self, context: BackendContext, options: OpenAIOptions) -> None:
        """Read the settings; nothing is asked of the network."""
        super().__init__(context, options)
        self._clock = Clock()
        self._ended: dict[str, asyncio.Task[BatchResults]] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._look_of_all: _Look | None = None
        self._one_look = asyncio.Lock()
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
        for look in range(LOOKUPS):
            if look:
                await self._clock.sleep(LOOKUP_PATIENCE_S / (LOOKUPS - 1))
            named = await self._named((self._name_stem(job), _get_name_stem(job)), since - CLOCK_SKEW)
            taken = await find_taken(known, named)
            found = [prediction_id for prediction_id in named if prediction_id not in taken]
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
        async with self._one_look:
            if self._service_clock.now_us() is None:
                with suppress(httpx.HTTPError, BatchStopped):
                    await self._batches.ask_time()
        return self._service_clock.now_us()

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Wait until the batch has ended and its files are here; then read the job's own line."""
        batch_id, _, name = prediction.prediction_id.partition("/")
        results = await self._results(batch_id)
        await self._reading.acquire()
        try:
            answer = await asyncio.to_thread(results.answer, name)
            ended = self._check(job, prediction.prediction_id, answer)
        except UnreadableAnswer as error:
            self._reading.release()
            error.cost_micros = self._pricing.image_micros
            raise
        except BaseException:
            self._reading.release()
            raise
        finally:
            if results.all_read():
                results.remove()
                self._ended.pop(batch_id, None)
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
        """Nothing: a batch is left to end, and the next run collects it."""

    async def close(self) -> None:
        """Stop waiting, and remove what was downloaded."""
        opened = vars(self)
        if "_gathering" in opened:
            await self._gathering.close()
        for task in self._ended.values():
            task.cancel()
        await asyncio.gather(*self._ended.values(), return_exceptions=True)
        if "_folder" in opened:
            self._folder.cleanup()
            del self._folder
        await super().close()

    async def _create(self, lines: Sequence[BatchLine]) -> str:
        """One batch of these lines."""
        name = uuid.uuid4().hex
        return await self._batches.create(await self._batches.upload(lines, name), name)

    async def _results(self, batch_id: str) -> BatchResults:
        """The lines of a batch, waited for and downloaded once for all its jobs."""
        if batch_id not in self._ended:
            self._ended[batch_id] = asyncio.create_task(self._collect(batch_id))
        task = self._ended[batch_id]
        try:
            return await asyncio.shield(task)
        except OutputGone as exc:
            # An error of its own for each job: the engine writes into it what that job cost.
            raise OutputGone(str(exc), cost_micros=None) from exc
        except httpx.HTTPError as exc:
            reason = self._api.calls.describe_error(exc)
            raise JobError(f"its batch's files cannot be had ({reason})", kind="unfetched", cost_micros=None) from exc
        finally:
            # Whoever comes later asks anew.
            if task.done() and self._ended.get(batch_id) is task and (task.cancelled() or task.exception()):
                del self._ended[batch_id]

    async def _collect(self, batch_id: str) -> BatchResults:
        while (batch := await self._look(batch_id)).get("status") not in ENDED:
            await self._clock.sleep(self._options.batch_poll_s)
        try:
            return await self._download(batch_id, batch)
        except OSError as exc:
            raise BatchStopped(
                "disk",
                f"a batch cannot be downloaded into the folder for temporary files ({exc.strerror or exc}): free some "
                "space or set TMPDIR to another one, then resume; nothing is paid twice",
            ) from exc

    async def _download(self, batch_id: str, batch: dict[str, Any]) -> BatchResults:
        paths = []
        for name in ("output_file_id", "error_file_id"):
            if file_id := batch.get(name):
                paths.append(Path(self._folder.name) / f"{batch_id}-{name}.jsonl")
                download = retry_look(httpx.HTTPError, self._clock.sleep)
                await download(self._batches.download, str(file_id), paths[-1])
        return await asyncio.to_thread(BatchResults, batch, paths)

    async def _look(self, batch_id: str) -> dict[str, Any]:
        """The batch; trouble with the look says nothing about it, so it is looked at again, for as long as it takes."""
        while True:
            try:
                return await self._batches.get(batch_id)
            except httpx.HTTPError:
                await self._clock.sleep(self._options.batch_poll_s)

    async def _named(self, stems: tuple[str, ...], since: datetime) -> list[str]:
        """Ids of predictions whose name in a batch begins with one of the stems."""
        try:
            listed = await self._listed(since)
        except httpx.HTTPError as exc:
            reason = f"the provider cannot be asked for its batches ({type(exc).__name__})"
            raise Ambiguous(reason, cost_micros=None) from exc
        return [
            f"{batch['id']}/{name}" for batch in listed for name in self._names[batch["id"]] if name.startswith(stems)
        ]

    async def _listed(self, since: datetime) -> list[dict[str, Any]]:
        """The batches since then; jobs that look at the same time share one look."""
        asked_at_s = self._clock.monotonic_s()
        async with self._one_look:
            last = self._look_of_all
            if last is None or last.begun_s < asked_at_s or last.since > since:
                earliest = since if last is None else min(since, last.since)
                last = self._look_of_all = await self._look_again(earliest)
            return [batch for batch in last.batches if (batch.get("created_at") or 0) >= since.timestamp()]

    async def _look_again(self, since: datetime) -> _Look:
        begun_s, look = self._clock.monotonic_s(), retry_look(httpx.HTTPError, self._clock.sleep)
        listed: list[dict[str, Any]] = await look(self._batches.created_since, since)
        for batch in listed:
            if batch["id"] not in self._names:
                names: frozenset[str] = await look(self._batches.custom_ids, str(batch["input_file_id"]))
                self._names[batch["id"]] = names
        return _Look(begun_s=begun_s, since=since, batches=listed)

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
    def _folder(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="imagen-batch-")


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
