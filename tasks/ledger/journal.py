"""The write side of the ledger while jobs are generated: each state as it is reached, commits grouped.

Writers hand over a change and may await its commit. Changes that arrive within a few milliseconds share one
transaction, so a thousand jobs cost some hundred commits and not thousands. A change that guards money
(`submitting`) is awaited by its caller before the call leaves.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from enum import IntEnum
from typing import Any

from sqlalchemy import ScalarSelect, bindparam, case, func, insert, null, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.dml import Insert, Update

from tasks.errors import JobError
from tasks.ledger.database import explain_failure
from tasks.ledger.planning import ROUTE_UPDATE, route_of
from tasks.ledger.schema import attempts, jobs
from tasks.ledger.writer import LedgerWriter
from tasks.records import Job, JobState, Prediction, StoredImage

GROUPING_S = 0.002
"""How long a change waits for company: small beside a provider's latency, large beside a commit."""


class Change(IntEnum):
    """Kinds of change, in the order in which one commit applies them: the order of a job's life."""

    ATTEMPT_STARTED = 1
    JOB_SUBMITTING = 2
    ATTEMPT_SUBMITTED = 3
    JOB_SUBMITTED = 4
    ATTEMPT_ENDED = 5
    JOB_OPEN_AGAIN = 6
    JOB_REROUTED = 7
    JOB_SUCCEEDED = 8
    JOB_FAILED = 9


class Journal:
    """Writes the states of jobs; one for each open batch."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Write to the ledger that `engine` opens; call `close` at the end."""
        self._writer = LedgerWriter(engine)
        self._pending: dict[Change, list[dict[str, Any]]] = defaultdict(list)
        self._committed: asyncio.Future[None] | None = None
        """Of the group that gathers changes now."""
        self._committing: asyncio.Future[None] | None = None
        """Of the group that is being written now."""
        self._flushers: set[asyncio.Task[None]] = set()
        self._one_commit = asyncio.Lock()

    async def submitting(self, job: Job, *, number: int, reserved_micros: int | None, now_us: int) -> None:
        """Put on disk that attempt `number` is about to be paid for."""
        self._add(
            Change.ATTEMPT_STARTED,
            a_job_id=job.job_id,
            a_number=number,
            backend=job.backend,
            started_at_us=now_us,
            reserved_micros=reserved_micros,
        )
        self._add(Change.JOB_SUBMITTING, a_job_id=job.job_id, attempts=number)
        await self.committed()

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
        """Put on disk that an attempt ended without a picture and that the job is open for another one."""
        self._end_attempt(job, number, state=JobState.FAILED, error=error, latency_ms=latency_ms, now_us=now_us)
        self._add(Change.JOB_OPEN_AGAIN, a_job_id=job.job_id)
        await self.committed()

    async def rerouted(self, job: Job, *, number: int, error: JobError | None, latency_ms: int, now_us: int) -> None:
        """Put on disk that another backend makes this job from now on.

        Args:
            job: The job as the other backend is to make it.
            number: Its attempt at the backend before.
            error: How that attempt ended; None where the ledger has its end already.
            latency_ms: From submit to this end.
            now_us: Microseconds since 1970 UTC.
        """
        if error is not None:
            self._end_attempt(job, number, state=JobState.FAILED, error=error, latency_ms=latency_ms, now_us=now_us)
        self._add(Change.JOB_REROUTED, **route_of(job))
        await self.committed()

    async def ended_without_image(
        self, job: Job, *, number: int | None, state: JobState, error: JobError, latency_ms: int, now_us: int
    ) -> None:
        """Put on disk that a job is failed or held.

        Args:
            job: The job.
            number: Its attempt that ended so; None when no attempt was made.
            state: `FAILED` or `HELD`.
            error: Why.
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
            error_message=str(error),
            latency_ms=latency_ms,
            completed_at_us=now_us,
        )
        await self.committed()

    async def succeeded(
        self, job: Job, *, number: int, prediction: Prediction, image: StoredImage, latency_ms: int, now_us: int
    ) -> None:
        """Put on disk that the job is done and where its picture lies."""
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
        await self.committed()

    async def committed(self) -> None:
        """Wait until everything noted so far is on disk.

        Raises:
            BatchStopped: The ledger cannot be written (disk full). The states on disk are true and resumable.
        """
        # Groups are written one after the other, so the later one is on disk after the earlier one.
        if (last := self._committed or self._committing) is not None:
            await asyncio.shield(last)

    async def close(self) -> None:
        """Commit what is left."""
        try:
            await self.committed()
        finally:
            self._writer.close()

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
            error_message=str(error),
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
                await self._writer.write([(_STATEMENTS[change], group[change]) for change in sorted(group)])
            except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
                committed.set_exception(explain_failure(exc) if isinstance(exc, OperationalError) else exc)
                committed.exception()  # marks it as seen: a group that nobody awaits must not warn at exit
            else:
                committed.set_result(None)
            finally:
                self._committing = None


def _attempt_update(*names: str) -> Update:
    mine = (attempts.c.job_id == bindparam("a_job_id")) & (attempts.c.number == bindparam("a_number"))
    return update(attempts).where(mine).values({name: bindparam(name) for name in names})


def _job_update(*names: str, **fixed: Any) -> Update:
    mine = jobs.c.job_id == bindparam("a_job_id")
    return update(jobs).where(mine).values({name: bindparam(name) for name in names} | fixed)


def _cost_of_attempts() -> ScalarSelect[Any]:
    """What all attempts of the job cost; NULL as soon as one of them is unknown."""
    known = case((func.count() > func.count(attempts.c.cost_micros), null()), else_=func.sum(attempts.c.cost_micros))
    return select(known).where(attempts.c.job_id == jobs.c.job_id).correlate(jobs).scalar_subquery()


_END = ("error_kind", "error_message", "latency_ms")
_STATEMENTS: dict[Change, Insert | Update] = {
    Change.ATTEMPT_STARTED: insert(attempts).values(
        job_id=bindparam("a_job_id"), number=bindparam("a_number"), state=JobState.SUBMITTING
    ),
    Change.JOB_SUBMITTING: _job_update("attempts", state=JobState.SUBMITTING, prediction_id=None),
    Change.ATTEMPT_SUBMITTED: _attempt_update("prediction_id", "submitted_at_us", "submit_retries").values(
        state=JobState.SUBMITTED
    ),
    Change.JOB_SUBMITTED: _job_update("prediction_id", "model_version", state=JobState.SUBMITTED),
    Change.ATTEMPT_ENDED: _attempt_update(
        "state", "predict_time_s", "cost_micros", "cost_source", "ended_at_us", *_END
    ),
    Change.JOB_OPEN_AGAIN: _job_update(state=JobState.PLANNED),
    Change.JOB_REROUTED: ROUTE_UPDATE,
    Change.JOB_SUCCEEDED: _job_update(
        "prediction_id",
        "model_version",
        "predict_time_s",
        "cost_source",
        "latency_ms",
        "file_name",
        "width",
        "height",
        "format",
        "bytes",
        "sha256",
        "completed_at_us",
        state=JobState.SUCCEEDED,
        error_kind=None,
        error_message=None,
        cost_micros=_cost_of_attempts(),
    ),
    Change.JOB_FAILED: _job_update("state", "completed_at_us", *_END, cost_micros=_cost_of_attempts()),
}
