"""Record job states in the ledger: each method is one step of a job, as rows that are committed together.

A change that guards money (`submitting`) is awaited before the call is sent.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import JobError
from tasks.core.records import Job, JobState, Prediction, StoredImage
from tasks.ledger.change_writer import ChangeWriter
from tasks.ledger.changes import Change, build_route
from tasks.ledger.leases import LeaseTerms


class Journal:
    """Writer of job states; one per open batch."""

    def __init__(self, engine: AsyncEngine, terms: LeaseTerms | None = None) -> None:
        """Write to the ledger of `engine`; call `close` at the end.

        With `terms`, only jobs that this worker holds are written: methods that wait for a commit raise `LeaseLost`
        for any other job, and nothing of it was written.
        """
        self._changes = ChangeWriter(engine, terms)

    async def record_intent(
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
        self._changes.add(
            Change.ATTEMPT_STARTED,
            a_job_id=job.job_id,
            a_number=number,
            backend=job.backend,
            started_at_us=now_us,
            sent_at_us=sent_at_us,
            reserved_micros=reserved_micros,
        )
        # The number goes with the state: a resume finds the attempt by it.
        self._changes.add(Change.JOB_SUBMITTING, a_job_id=job.job_id, attempts=number)
        await self._changes.wait_for(job)

    # Not awaited: a lost id is looked up by the job's input, and a wait would cost each job a commit.
    def record_submitted(self, job: Job, *, number: int, prediction: Prediction, retries: int, now_us: int) -> None:
        """Note the provider's id; it is on disk within milliseconds."""
        self._changes.add(
            Change.ATTEMPT_SUBMITTED,
            a_job_id=job.job_id,
            a_number=number,
            prediction_id=prediction.prediction_id,
            submitted_at_us=now_us,
            submit_retries=retries,
        )
        self._changes.add(
            Change.JOB_SUBMITTED,
            a_job_id=job.job_id,
            prediction_id=prediction.prediction_id,
            model_version=prediction.model_version,
        )

    async def record_failed_attempt(
        self, job: Job, *, number: int, error: JobError, latency_ms: int, now_us: int
    ) -> None:
        """Record that an attempt ended without an image and the job is open for another; on disk on return."""
        self._end_attempt(job, number, state=JobState.FAILED, error=error, latency_ms=latency_ms, now_us=now_us)
        # In the same commit as the attempt's end, or a kill between the two would settle the attempt twice.
        self._changes.add(Change.JOB_OPEN_AGAIN, a_job_id=job.job_id)
        await self._changes.wait_for(job)

    async def record_reroute(
        self, job: Job, *, number: int, error: JobError | None, latency_ms: int, now_us: int
    ) -> None:
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
        self._changes.add(Change.JOB_REROUTED, **build_route(job))
        await self._changes.wait_for(job)

    async def record_end_without_image(
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
        self._changes.add(
            Change.JOB_FAILED,
            a_job_id=job.job_id,
            state=state,
            error_kind=error.error_kind,
            error_message=str(error),
            latency_ms=latency_ms,
            completed_at_us=now_us,
        )
        await self._changes.wait_for(job)

    async def record_success(
        self, job: Job, *, number: int, prediction: Prediction, image: StoredImage, latency_ms: int, now_us: int
    ) -> None:
        """Record that the job is done, and its image's file; on disk on return."""
        self._changes.add(
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
        self._changes.add(
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
            provenance=image.provenance,
            completed_at_us=now_us,
        )
        await self._changes.wait_for(job)

    async def close(self) -> None:
        """Commit what is left."""
        await self._changes.close()

    def _end_attempt(
        self, job: Job, number: int, *, state: JobState, error: JobError, latency_ms: int, now_us: int
    ) -> None:
        self._changes.add(
            Change.ATTEMPT_ENDED,
            a_job_id=job.job_id,
            a_number=number,
            state=state,
            latency_ms=latency_ms,
            predict_time_s=None,
            cost_micros=error.cost_micros,  # a failed attempt may be billed
            cost_source=None,  # without an image there is no price list to name
            error_kind=error.error_kind,
            error_message=str(error),
            ended_at_us=now_us,
            a_prediction_id=None,
        )
