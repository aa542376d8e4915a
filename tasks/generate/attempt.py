"""One paid attempt of a job: its reservation and its rows in the ledger, always changed together."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from tasks.backends.base import Backend, check_inputs_supported, keeps_list, read_service_time_us
from tasks.core.errors import Ambiguous, BatchStopped, JobError, LeaseLost, Throttled
from tasks.core.records import Job, JobState, Prediction, StoredImage
from tasks.generate.accounts.attempt_money import AttemptMoney, reserve_money
from tasks.generate.batch import Batch
from tasks.generate.decisions import Consent, Stage
from tasks.generate.prediction_ids import KnownPredictions
from tasks.ledger.open_jobs import OpenJob


@dataclass(slots=True, kw_only=True)
class Attempt:
    """An attempt whose intent is on disk."""

    batch: Batch
    job: Job
    number: int
    """Counts from 1 over the job's whole life."""
    reservation: AttemptMoney
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
    sent_s: float | None = None
    """Monotonic instant at which the create left whose answer told of `prediction`; None where no answer did."""
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

    @property
    def known(self) -> KnownPredictions:
        """The predictions that are not this attempt's, as far as anybody on the account knows."""
        account = self.batch.backend(self.job.backend).allowance().registry
        return KnownPredictions(ids=self.batch.ids, account=account, job=self.job, number=self.number)

    async def send(self) -> None:
        """Create the prediction, which may cost money, and record its id.

        Raises:
            JobError, BatchStopped: As `Backend.submit` has it.
            LeaseLost: Another worker may have the job; it looks for what may have been sent.
        """
        backend, limits = self.batch.backend(self.job.backend), self.batch.get_limits(self.job.backend)
        leases = self.batch.leases
        async with nullcontext() if leases is None else leases.sending(self.job, is_listed=keeps_list(backend)):
            check_inputs_supported(backend, self.job)
            # Counted before the await: a call that raises may have left all the same.
            self.sends += 1
            sent_s = self.batch.clock.monotonic_s()
            prediction = await backend.submit(self.job, attempt=self.number)
        limits.creates.record_success()
        limits.refusals.record_success()
        if not await self.claim(prediction):
            # A look-up of an equal input took it for its own; there is another one for this attempt, or none.
            raise Ambiguous("its prediction went to another attempt of the same input", cost_micros=None)
        self.sent_s = sent_s
        self.note_submitted(prediction)

    def record_refusal(self, error: Throttled) -> None:
        """Lower the rate for a 429, which does not count as a send."""
        limits = self.batch.get_limits(self.job.backend)
        self.sends -= 1
        self.batch.metrics.add_throttle(self.job)
        limits.refusals.record_refusal()
        limits.creates.record_throttle(self.turn_s, retry_after_s=error.retry_after_s, per_min=error.creates_per_min)

    async def claim(self, prediction: Prediction) -> bool:
        """Claim the prediction; False where another attempt on the account has it."""
        if not keeps_list(self.batch.backend(self.job.backend)):
            return True  # a service without a shared list hands out no other attempt's
        return await self.batch.ids.claim(self.known.build_claim(prediction.prediction_id))

    def note_submitted(self, prediction: Prediction) -> None:
        """Put the provider's id into the ledger, within milliseconds."""
        # Not awaited: a kill in between loses only the id, which is looked up like any lost answer.
        self.prediction, self.stage = prediction, Stage.SUBMITTED
        retries, now_us = max(0, self.sends - 1), self.batch.clock.now_us()
        self.batch.journal.record_submitted(
            self.job, number=self.number, prediction=prediction, retries=retries, now_us=now_us
        )

    async def succeed(self, prediction: Prediction, image: StoredImage) -> None:
        """Record the image and its true cost; the job is done."""
        # Before the commit, so that jobs which wait for money go on while the disk is written.
        self._settle(prediction.cost_micros, images=1)
        latency_ms = self._latency_ms()
        await self.batch.journal.record_success(
            self.job,
            number=self.number,
            prediction=prediction,
            image=image,
            latency_ms=latency_ms,
            now_us=self.batch.clock.now_us(),
        )
        self.batch.metrics.add_image(self.job, latency_ms)

    async def close(self, error: JobError) -> None:
        """Record that the attempt ended without an image; the job is open for another one."""
        self._settle(error.cost_micros)
        await self.batch.journal.record_failed_attempt(
            self.job,
            number=self.number,
            error=error,
            latency_ms=self._latency_ms(),
            now_us=self.batch.clock.now_us(),
        )

    async def end_job(self, state: JobState, error: JobError) -> None:
        """Record that the job is failed or held, and the attempt's end unless the ledger has it."""
        # A job that the user asked for again has its last attempt ended, with its cost, in the ledger already.
        keeps_end = self.consent is not Consent.NONE
        if not keeps_end:
            self._settle(error.cost_micros)
        await self.batch.journal.record_end_without_image(
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
        await self.batch.journal.record_reroute(
            other,
            number=self.number,
            error=error,
            latency_ms=self._latency_ms(),
            now_us=self.batch.clock.now_us(),
        )

    def release_budget(self) -> None:
        """Stop waiting for the true cost: the reservation stays spent, and nobody waits for it to come back."""
        self.reservation.settle(None)

    def _settle(self, cost_micros: int | None, *, images: int = 0) -> None:
        self.reservation.settle(cost_micros, images=images)
        # The display only; the cap goes by reservations.
        self.batch.tally.count_cost(cost_micros)
        self.batch.metrics.add_cost(self.job, cost_micros)

    def _latency_ms(self) -> int:
        # Not monotonic: an earlier run may have begun it. A wall clock that was set back gives 0.
        return max(0, (self.batch.clock.now_us() - self.started_us) // 1_000)


async def begin_attempt(batch: Batch, job: Job, *, number: int) -> Attempt:
    """Reserve the price, wait for a turn to create, and put the intent on disk.

    Raises:
        BatchStopped, LeaseLost: Nothing may be sent; the reservation came back.
    """
    most_micros = batch.backend(job.backend).estimate(job).most_micros
    # Money first: a turn that is waited for in vain would be lost to the other jobs.
    reservation = await reserve_money(batch.budget, batch.caps, batch.overruns, job, most_micros, number=number)
    try:
        # Before the intent is written, because a job may wait for its turn for minutes and would look lost meanwhile.
        turn_s = await batch.get_limits(job.backend).creates.acquire()
        # The wait may have been long, and a cap may have been lowered meanwhile.
        await batch.caps.renew(reservation.caps)
        # The batch may have stopped during the waits.
        batch.stop.check()
        # Nothing is paid for whose image could not be stored.
        batch.out.check_in_place()
        sent_us = await read_service_time_us(batch.backend(job.backend))
        now_us = batch.clock.now_us()
        await batch.journal.record_intent(
            job, number=number, reserved_micros=reservation.most_micros, now_us=now_us, sent_at_us=sent_us
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
        reservation=AttemptMoney(
            budget=batch.budget.take_over(open_job.reserved_micros, job_id=job.job_id, number=open_job.attempts),
            caps=batch.caps.take_over(job, number=open_job.attempts),
            job=job,
            expected_micros=open_job.reserved_micros,
            most_micros=open_job.reserved_micros,
            overruns=batch.overruns,
        ),
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
    await batch.journal.record_end_without_image(
        job, number=None, state=JobState.FAILED, error=error, latency_ms=0, now_us=now_us
    )
