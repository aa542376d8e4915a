"""One paid attempt of a job: its reservation and its rows in the ledger, always changed together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.backends.base import Backend, read_service_time_us
from tasks.core.clock import to_instant
from tasks.core.errors import BatchStopped, JobError, LeaseLost
from tasks.core.records import Job, JobState, Prediction, StoredImage
from tasks.generate.batch import Batch
from tasks.generate.budget import Reservation
from tasks.generate.decisions import Consent, Stage
from tasks.ledger.open_jobs import OpenJob

CLOCK_SKEW = timedelta(seconds=60)
"""By how much a service's clock may differ from this machine's, where the service has not told its time."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """An attempt whose intent is on disk."""

    batch: Batch
    job: Job
    number: int
    """Counts from 1 over the job's whole life."""
    reservation: Reservation
    started_us: int
    """Microseconds since 1970 UTC at which the intent was written."""
    stage: Stage
    sent_us: int | None = None
    """`started_us` by the service's clock; None where the service had not told its time."""
    consent: Consent = Consent.NONE
    prediction: Prediction | None = None
    """Known from `Stage.SUBMITTED` on."""
    turn_s: float = 0.0
    """The instant of its last turn to create, for `CreateLimiter.record_throttle`."""
    is_inherited: bool = False
    """An earlier run began it."""
    sends: int = 0
    """Calls that left in this run; those answered with 429 do not count."""
    looks: int = 0
    """Looks at the prediction that broke."""

    async def find_backend(self) -> Backend:
        """The backend that it was sent to, with the prices of that time."""
        if not self.is_inherited:
            return self.batch.backend(self.job.backend)
        return await self.batch.find_backend_as_sent(self.job.backend, self.started_us)

    async def find_since(self) -> datetime:
        """The instant from which on the service may have made its prediction, by the service's clock."""
        if self.sent_us is not None:
            return to_instant(self.sent_us)
        # Sent by this machine's clock, which may have been ahead of the service's then as it is now.
        service_us = await read_service_time_us(self.batch.backend(self.job.backend))
        ahead_us = 0 if service_us is None else max(0, self.batch.clock.now_us() - service_us)
        return to_instant(self.started_us - ahead_us) - CLOCK_SKEW

    async def note_submitted(self, prediction: Prediction) -> None:
        """Put the provider's id into the ledger."""
        self.prediction, self.stage = prediction, Stage.SUBMITTED
        self.batch.journal.submitted(
            self.job,
            number=self.number,
            prediction=prediction,
            retries=max(0, self.sends - 1),
            now_us=self.batch.clock.now_us(),
        )

    async def succeed(self, prediction: Prediction, image: StoredImage) -> None:
        """Record the image and its true cost; the job is done."""
        self._settle(prediction.cost_micros)
        await self.batch.journal.succeeded(
            self.job,
            number=self.number,
            prediction=prediction,
            image=image,
            latency_ms=self._latency_ms(),
            now_us=self.batch.clock.now_us(),
        )

    async def close(self, error: JobError) -> None:
        """Record that the attempt ended without an image; the job is open for another one."""
        self._settle(error.cost_micros)
        await self.batch.journal.attempt_failed(
            self.job,
            number=self.number,
            error=error,
            latency_ms=self._latency_ms(),
            now_us=self.batch.clock.now_us(),
        )

    async def end_job(self, state: JobState, error: JobError) -> None:
        """Record that the job is failed or held, and the attempt's end unless the ledger has it."""
        keeps_end = self.consent is not Consent.NONE
        if not keeps_end:
            self._settle(error.cost_micros)
        await self.batch.journal.ended_without_image(
            self.job,
            number=None if keeps_end else self.number,
            state=state,
            error=error,
            latency_ms=self._latency_ms(),
            now_us=self.batch.clock.now_us(),
        )

    async def reroute_job(self, other: Job, error: JobError | None) -> None:
        """Record that another backend makes the job, and the attempt's end (None: the ledger has it)."""
        if error is not None:
            self._settle(error.cost_micros)
        await self.batch.journal.rerouted(
            other,
            number=self.number,
            error=error,
            latency_ms=self._latency_ms(),
            now_us=self.batch.clock.now_us(),
        )

    def release_budget(self) -> None:
        """Stop waiting for the true cost: the reservation stays spent, and nobody waits for it to come back."""
        self.reservation.settle(None)

    def _settle(self, cost_micros: int | None) -> None:
        self.reservation.settle(cost_micros)
        self.batch.tally.paid(cost_micros)

    def _latency_ms(self) -> int:
        return max(0, (self.batch.clock.now_us() - self.started_us) // 1_000)


async def begin_attempt(batch: Batch, job: Job, *, number: int) -> Attempt:
    """Reserve the price, wait for a turn to create, and put the intent on disk.

    Raises:
        BatchStopped, LeaseLost: Nothing may be sent; the reservation came back.
    """
    most_micros = batch.backend(job.backend).estimate(job).most_micros
    reservation = await batch.budget.reserve(most_micros, job_id=job.job_id, number=number)
    try:
        turn_s = await batch.get_limits(job.backend).creates.acquire()
        batch.stop.check()
        batch.out.check_in_place()
        sent_us = await read_service_time_us(batch.backend(job.backend))
        now_us = batch.clock.now_us()
        await batch.journal.submitting(
            job, number=number, reserved_micros=most_micros, now_us=now_us, sent_at_us=sent_us
        )
    except (BatchStopped, LeaseLost):
        reservation.settle(0)
        raise
    except BaseException:  # the intent may be on disk
        reservation.settle(None)
        raise
    return Attempt(
        batch=batch,
        job=job,
        number=number,
        reservation=reservation,
        started_us=now_us,
        sent_us=sent_us,
        stage=Stage.INTENDED,
        turn_s=turn_s,
    )


def take_over_attempt(batch: Batch, open_job: OpenJob) -> Attempt | None:
    """The attempt that an earlier run left open, which the budget counts already; None where there is none."""
    if open_job.state is JobState.PLANNED:
        return None
    job, prediction = open_job.job, open_job.prediction
    return Attempt(
        batch=batch,
        job=job,
        number=open_job.attempts,
        reservation=batch.budget.take_over(open_job.reserved_micros, job_id=job.job_id, number=open_job.attempts),
        started_us=open_job.started_at_us or batch.clock.now_us(),
        sent_us=open_job.sent_at_us,
        stage=Stage.LOST if prediction is None else Stage.SUBMITTED,
        consent=_get_consent(open_job),
        prediction=prediction,
        is_inherited=True,
    )


def _get_consent(open_job: OpenJob) -> Consent:
    if not open_job.asked_again or open_job.withdrawn:
        return Consent.NONE
    return Consent.ANYWAY if open_job.state is JobState.SUBMITTING else Consent.IF_ENDED


async def fail_unsent(batch: Batch, job: Job, error: JobError) -> None:
    """Record that the job failed before an attempt of it began."""
    now_us = batch.clock.now_us()
    await batch.journal.ended_without_image(
        job, number=None, state=JobState.FAILED, error=error, latency_ms=0, now_us=now_us
    )
