"""The backend `http` in `mode: batch`, for services that take the same requests in files; see `tasks.backends.client.batches`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

from tasks.backends.base import BackendContext, Estimate, Shared, close_opened
from tasks.backends.client.batches.desk import BATCH_DIGITS, BatchDesk
from tasks.backends.client.batches.lists import BatchList
from tasks.backends.client.batches.service import MARK
from tasks.backends.client.refusals import find_codes, find_words, is_moderation
from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.backend import HttpBackend
from tasks.backends.http_api.batches.google import GoogleBatches
from tasks.backends.http_api.sections import Batches
from tasks.core.errors import Ambiguous, JobError, Refused, Rejected, Transient
from tasks.core.records import Job, Prediction

INVALID = 3
"""Code of a line whose request is wrong (google.rpc.Code): it was not done."""
PASSING = frozenset({4, 8, 10, 13, 14})
"""Deadline, no room, aborted, internal, unavailable: another batch may do it."""


class HttpBatchBackend(HttpBackend):
    """One described API behind Google's batch API."""

    # A line is JSON: an image would be a file of its own there, which is not made here.
    takes = frozenset()
    keeps_list = True

    def __init__(self, context: BackendContext) -> None:
        """Read the settings; nothing is asked of the network.

        Raises:
            ConfigError: A setting cannot be used.
        """
        super().__init__(context)
        self._costs = replace(self._costs, share=self._terms.price_share)

    @property
    def _terms(self) -> Batches:
        # The options have been checked: `mode: batch` needs them.
        return self._options.batches or Batches(base=self._options.create.url or "")

    def estimate(self, job: Job) -> Estimate:
        """A share of the price, and the time of a batch."""
        return replace(super().estimate(job), latency_s=self._terms.latency_s)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """Wait until the batch that holds the job is created."""
        return await self._desk.submit(job, self._api.build_create(job, attempt=attempt)["json"], attempt=attempt)

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Look for the job's name in the batches that were created since; wait for a list that lags."""
        return await self._desk.find(job, since=since, known=known)

    async def read_service_time_us(self, since: datetime | None = None) -> int | None:
        """The provider's time; the first caller asks for it, which is free."""
        return await self._service_clock.read_us(self._batches.ask_time, since)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Wait until the batch has ended and its files are here; then read the job's own line."""

        def read(line: dict[str, Any]) -> Prediction:
            answer = _parse_line(line)
            try:
                return self._costs.end(job, prediction, self._outputs.read(answer), answer)
            except JobError as error:
                self._costs.price_error(job, error)
                raise

        return await self._desk.wait(prediction, read)

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """The bytes of the line."""
        async with self._desk.fetching(prediction):
            return await super().fetch(job, prediction)

    async def cancel(self, prediction: Prediction) -> None:
        """Do nothing: a batch cannot be cancelled for one of its jobs. It is left to end, and the next run collects it."""

    async def close(self) -> None:
        """Stop waiting, and remove what was downloaded."""
        await close_opened(self, "_desk")
        await super().close()

    async def _read_names(self, batch: dict[str, Any]) -> frozenset[str]:
        """The names of a listed batch's lines.

        Raises:
            Ambiguous: Its results cannot be had any more.
        """
        if (sent := self._batches.sent.get(str(batch["name"]))) is not None:
            return sent
        # A stored file cannot be read back there, so a batch of an earlier run tells its lines when it has ended.
        try:
            return await self._desk.list_names(batch["id"])
        except JobError as error:
            raise Ambiguous(f"a batch that may hold this job cannot be read ({error})", cost_micros=None) from error

    @cached_property
    def _batches(self) -> GoogleBatches:
        batch = self._context.batch[:BATCH_DIGITS]
        return GoogleBatches(
            self._api,
            base=self._terms.base,
            model=self._context.settings.model,
            mark=f"{MARK}-{batch}-" if batch else f"{MARK}-",
            # Of all instances: another one's batch would be waited for until it ends, to learn which lines it has.
            sent=self._share("lines", dict),
        )

    def _share(self, name: str, build: Callable[[], Shared]) -> Shared:
        # By account, whatever models it runs. Another address, or another project in a header, has another list.
        headers = sorted(self._options.create.headers.items())
        return self._context.get_shared(f"{self.allowance().account} {self._terms.base} {headers} {name}", build)

    @cached_property
    def _desk(self) -> BatchDesk:
        return BatchDesk(
            service=self._batches,
            lists=self._share("batches", lambda: BatchList(self._batches, clock=self._clock)),
            batch=self._context.batch,
            clock=self._clock,
            jobs=self._terms.jobs,
            quiet_s=self._terms.quiet_s,
            poll_s=self._terms.poll_s,
            explain=self._api.calls.describe_error,
            read_names=self._read_names,
            read_time_us=self.read_service_time_us,
        )


def _parse_line(line: Mapping[str, Any]) -> Answer:
    """The answer of a line.

    Raises:
        JobError: It holds none; its type says whether another attempt may help.
    """
    response, error = line.get("response"), line.get("error")
    # Some lines have an empty error beside a good response.
    if isinstance(response, dict) and response:
        return Answer(document=response, raw=json.dumps(response).encode())
    words = " ".join((find_words(error) or "the batch has not done it").split())
    code = error.get("code") if isinstance(error, dict) else None
    if is_moderation(words, find_codes(error)):
        raise Refused(words, cost_micros=None)
    if code == INVALID:
        raise Rejected(words)
    # Of single requests Google says that a 400 or 500 is not charged (ai.google.dev/gemini-api/docs/billing, updated
    # 2026-09-20), and on Vertex AI any status but 200; no page found says it of the lines of a batch.
    raise (Transient if code in PASSING else JobError)(words, cost_micros=0)


def open_backend(context: BackendContext) -> HttpBackend:
    """The instance in the mode that its settings name; nothing is asked of the network.

    Raises:
        ConfigError: A setting cannot be used.
    """
    return (HttpBatchBackend if context.settings.options.get("mode") == "batch" else HttpBackend)(context)
