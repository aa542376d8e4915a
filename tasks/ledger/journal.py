"""Write job states to the ledger in grouped commits.

Writers add a change and may await its commit. Changes within a few milliseconds share one transaction, so a thousand
jobs cost some hundred commits. A change that guards money (`submitting`) is awaited before the call is sent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import JobError, LeaseLost
from tasks.core.records import Job, JobState, Prediction, StoredImage
from tasks.core.safe_text import sanitize_text
from tasks.ledger.changes import Change, apply_changes, build_route, collect_job_ids
from tasks.ledger.database.connect import explain_failure
from tasks.ledger.database.writer import make_writer
from tasks.ledger.leases import LeaseTerms

GROUPING_S = 0.002
"""Seconds a change waits for others: short beside a provider's latency, long beside a commit."""


class Journal:
    """Writer of job states; one per open batch."""

    def __init__(self, engine: AsyncEngine, terms: LeaseTerms | None = None) -> None:
        """Write to the ledger of `engine`; call `close` at the end.

        With `terms`, only jobs that this worker holds are written: methods that wait for a commit raise `LeaseLost`
        for any other job, and nothing of it was written.
        """
        self._writer = make_writer(engine)
        self._terms = terms
        self._lost: frozenset[str] = frozenset()
        self._pending: dict[Change, list[dict[str, Any]]] = defaultdict(list)
        self._committed: asyncio.Future[None] | None = None
        """Commit of the group that collects changes now."""
        self._committing: asyncio.Future[None] | None = None
        """Commit of the group that is being written now."""
        self._flushers: set[asyncio.Task[None]] = set()
        self._one_commit = asyncio.Lock()

    async def submitting(self, job: Job, *, number: int, reserved_micros: int | None, now_us: int) -> None:
        """Record that attempt `number` is about to be paid for; on disk on return.

        Raises:
            LeaseLost: The lease ended, or too little is left for a create. Nothing may be sent.
        """
        self._add(
            Change.ATTEMPT_STARTED,
            a_job_id=job.job_id,
            a_number=number,
            backend=job.backend,
            started_at_us=now_us,
            reserved_micros=reserved_micros,
        )
        self._add(Change.JOB_SUBMITTING, a_job_id=job.job_id, attempts=number)
        await self._written(job)

    def submitted(self, job: Job, *, number: int, prediction: Prediction, retries: int, now_us: int) -> None:
        """Note the provider's id; it is on disk within milliseconds."""
        self._add(
            Change.ATTEMPT_SUBMITTED,
            a_job_id=job.job_id,
            a_number=number,
            prediction_id=prediction.prediction_id,
            submitted_at_us=now_us,
            submit_retries=retries,
        )
        self._add(
            Change.JOB_SUBMITTED,
            a_job_id=job.job_id,
            prediction_id=prediction.prediction_id,
            model_version=prediction.model_version,
        )

    async def attempt_failed(self, job: Job, *, number: int, error: JobError, latency_ms: int, now_us: int) -> None:
        """Record that an attempt ended without an image and the job is open for another; on disk on return."""
        self._end_attempt(job, number, state=JobState.FAILED, error=error, latency_ms=latency_ms, now_us=now_us)
        self._add(Change.JOB_OPEN_AGAIN, a_job_id=job.job_id)
        await self._written(job)

    async def rerouted(self, job: Job, *, number: int, error: JobError | None, latency_ms: int, now_us: int) -> None:
        """Record that another backend takes the job over; on disk on return.

        Args:
            job: The job with its new backend.
            number: Its attempt at the previous backend.
            error: Error of that attempt; None: the ledger has its end already.
            latency_ms: From submit to this end.
            now_us: Microseconds since 1970 UTC.
        """
        if error is not None:
            self._end_attempt(job, number, state=JobState.FAILED, error=error, latency_ms=latency_ms, now_us=now_us)
        self._add(Change.JOB_REROUTED, **build_route(job))
        await self._written(job)

    async def ended_without_image(
        self, job: Job, *, number: int | None, state: JobState, error: JobError, latency_ms: int, now_us: int
    ) -> None:
        """Record that a job failed or is held; on disk on return.

        Args:
            job: The job.
            number: Its last attempt; None: no attempt was made.
            state: `FAILED` or `HELD`.
            error: The reason.
            latency_ms: From submit to this end.
            now_us: Microseconds since 1970 UTC.
        """
        if number is not None:
            self._end_attempt(job, number, state=state, error=error, latency_ms=latency_ms, now_us=now_us)
        self._add(
            Change.JOB_FAILED,
            a_job_id=job.job_id,
            state=state,
            error_kind=error.error_kind,
            error_message=sanitize_text(str(error)),
            latency_ms=latency_ms,
            completed_at_us=now_us,
        )
        await self._written(job)

    async def succeeded(
        self, job: Job, *, number: int, prediction: Prediction, image: StoredImage, latency_ms: int, now_us: int
    ) -> None:
        """Record that the job is done, and its image's file; on disk on return."""
        self._add(
            Change.ATTEMPT_ENDED,
            a_job_id=job.job_id,
            a_number=number,
            state=JobState.SUCCEEDED,
            latency_ms=latency_ms,
            predict_time_s=prediction.predict_time_s,
            cost_micros=prediction.cost_micros,
            cost_source=prediction.cost_source,
            error_kind=None,
            error_message=None,
            ended_at_us=now_us,
        )
        self._add(
            Change.JOB_SUCCEEDED,
            a_job_id=job.job_id,
            latency_ms=latency_ms,
            predict_time_s=prediction.predict_time_s,
            cost_source=prediction.cost_source,
            prediction_id=prediction.prediction_id,
            model_version=prediction.model_version,
            file_name=image.file_name,
            width=image.width,
            height=image.height,
            format=image.format,
            bytes=image.bytes,
            sha256=image.sha256,
            completed_at_us=now_us,
        )
        await self._written(job)

    async def committed(self) -> None:
        """Wait until every change so far is on disk.

        Raises:
            BatchStopped: The ledger cannot be written (disk full, database away). Fix that and resume; the states on
                disk are true.
        """
        # Groups are written one after the other, so the later one is on disk after the earlier one.
        if (last := self._committed or self._committing) is not None:
            await asyncio.shield(last)

    async def _written(self, job: Job) -> None:
        await self.committed()
        if job.job_id in self._lost:
            raise LeaseLost(f"{job.label}: another worker goes on with it")

    async def close(self) -> None:
        """Commit what is left."""
        try:
            await self.committed()
        finally:
            await self._writer.close()

    def _end_attempt(
        self, job: Job, number: int, *, state: JobState, error: JobError, latency_ms: int, now_us: int
    ) -> None:
        self._add(
            Change.ATTEMPT_ENDED,
            a_job_id=job.job_id,
            a_number=number,
            state=state,
            latency_ms=latency_ms,
            predict_time_s=None,
            cost_micros=error.cost_micros,
            cost_source=None,
            error_kind=error.error_kind,
            error_message=sanitize_text(str(error)),
            ended_at_us=now_us,
        )

    def _add(self, change: Change, **values: Any) -> None:
        self._pending[change].append(values)
        if self._committed is None:
            self._committed = asyncio.get_running_loop().create_future()
            flusher = asyncio.create_task(self._flush_soon(self._committed))
            self._flushers.add(flusher)
            flusher.add_done_callback(self._flushers.discard)

    async def _flush_soon(self, committed: asyncio.Future[None]) -> None:
        await asyncio.sleep(GROUPING_S)
        async with self._one_commit:
            # What came while the last group was being committed joins this one; what comes now starts the next.
            group, self._pending, self._committed = self._pending, defaultdict(list), None
            self._committing = committed
            try:
                lost = await self._writer.write(partial(apply_changes, group=group, terms=self._terms))
            except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
                committed.set_exception(explain_failure(exc) or exc)
                committed.exception()  # marks it as seen: a group that nobody awaits must not warn at exit
            else:
                if self._terms is not None:
                    self._lost = (self._lost - collect_job_ids(group)) | lost
                committed.set_result(None)
            finally:
                self._committing = None
