"""Write job states to the ledger in grouped commits.

Writers add a change and may await its commit. Changes within a few milliseconds share one transaction, so a thousand
jobs cost some hundred commits. A change that guards money (`submitting`) is awaited before the call is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import BatchStopped, JobError, LeaseLost
from tasks.core.records import Job, JobState, Prediction, StoredImage
from tasks.core.safe_text import error_text
from tasks.ledger.changes import Change, Row, apply_changes, build_route, clean_row, group_rows
from tasks.ledger.database.connect import explain_failure
from tasks.ledger.database.writer import make_writer
from tasks.ledger.group_commit import GroupCommit
from tasks.ledger.leases import LeaseTerms

Entry = tuple[Change, Row]
_FACTS = frozenset({Change.ATTEMPT_SUBMITTED, Change.JOB_SUBMITTED})
"""Changes that nobody waits for, and that are true whatever becomes of their group: a provider's id is known."""


@dataclass(frozen=True, slots=True)
class _Written:
    """Outcome of a group."""

    lost: frozenset[str] = frozenset()
    """Jobs of which nothing was written, because their lease is another worker's."""
    refused: dict[str, Exception] = field(default_factory=dict)
    """Errors of the database, by the job whose rows it does not take."""


class Journal:
    """Writer of job states; one per open batch."""

    def __init__(self, engine: AsyncEngine, terms: LeaseTerms | None = None) -> None:
        """Write to the ledger of `engine`; call `close` at the end.

        With `terms`, only jobs that this worker holds are written: methods that wait for a commit raise `LeaseLost`
        for any other job, and nothing of it was written.
        """
        self._writer = make_writer(engine)
        self._terms = terms
        self._groups = GroupCommit(self._write)
        self._unwritten: list[Entry] = []
        """Facts of groups that failed; they go with the next group."""

    async def submitting(
        self, job: Job, *, number: int, reserved_micros: int | None, now_us: int, sent_at_us: int | None = None
    ) -> None:
        """Record that attempt `number` is about to be paid for; on disk on return.

        Args:
            job: The job.
            number: Its attempt.
            reserved_micros: Money set aside for it, in millionths of a dollar; None: its price is unknown.
            now_us: Microseconds since 1970 UTC by this machine's clock.
            sent_at_us: The same instant by the service's clock, where the service has told its time.

        Raises:
            LeaseLost: The lease ended, or too little is left for a create. Nothing may be sent.
        """
        self._add(
            Change.ATTEMPT_STARTED,
            a_job_id=job.job_id,
            a_number=number,
            backend=job.backend,
            started_at_us=now_us,
            sent_at_us=sent_at_us,
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
            error_message=str(error),
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
            a_prediction_id=prediction.prediction_id,
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
        await self._groups.drain()

    async def close(self) -> None:
        """Commit what is left."""
        try:
            await self._groups.drain()
            if self._unwritten:
                await asyncio.shield(self._groups.add())
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
            error_message=str(error),
            ended_at_us=now_us,
            a_prediction_id=None,
        )

    def _add(self, change: Change, **values: Any) -> None:
        self._groups.add((change, clean_row(values)))

    async def _written(self, job: Job) -> None:
        """Wait for the commit of what was just added for the job."""
        outcome = await asyncio.shield(self._groups.add())
        if job.job_id in outcome.lost:
            raise LeaseLost(f"{job.label}: another worker goes on with it")
        if error := outcome.refused.get(job.job_id):
            reason = getattr(error, "orig", error)
            raise JobError(
                f"the ledger does not take its values ({error_text(reason)})", kind="unrecorded", cost_micros=None
            )

    async def _write(self, entries: Sequence[Entry]) -> _Written:
        entries, self._unwritten = [*self._unwritten, *entries], []
        try:
            return _Written(lost=await self._apply(entries))
        except Exception as exc:  # noqa: BLE001  raised where it stops the batch, else each job is written by itself
            stopped = exc if isinstance(exc, BatchStopped) else explain_failure(exc)
            if stopped is not None:
                self._unwritten = [entry for entry in entries if entry[0] in _FACTS]
                raise stopped from None
        # The database refused a value. The rows beside it are right, so each job is written by itself.
        return await self._write_each(entries)

    async def _write_each(self, entries: Sequence[Entry]) -> _Written:
        lost: frozenset[str] = frozenset()
        refused: dict[str, Exception] = {}
        for job_id in dict.fromkeys(row["a_job_id"] for _, row in entries):
            try:
                lost |= await self._apply([entry for entry in entries if entry[1]["a_job_id"] == job_id])
            except Exception as exc:
                if explain_failure(exc):
                    raise
                refused[job_id] = exc
        return _Written(lost, refused)

    async def _apply(self, entries: Iterable[Entry]) -> frozenset[str]:
        return await self._writer.write(partial(apply_changes, group=group_rows(entries), terms=self._terms))
