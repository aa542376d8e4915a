"""One job in one run: its attempts, its money, its present prediction.

Who may be paid again, and when, is decided here and nowhere else: intent is on disk before a paid call, and a call whose
end is not known is looked up before anything is sent again.
"""

from __future__ import annotations

import asyncio

from tasks.backends.base import Backend, check_inputs_supported
from tasks.core.clock import to_instant
from tasks.core.errors import (
    Ambiguous,
    BadImage,
    BatchStopped,
    JobError,
    LeaseLost,
    NoRoom,
    NotCreated,
    Throttled,
    Transient,
    Unfetched,
)
from tasks.core.records import Job, JobState, Prediction, StoredImage
from tasks.core.retry import SUBMIT_TRIES, get_attempt_pause_s, retry_fetch, retry_submit
from tasks.generate.batch import Batch
from tasks.generate.budget import Reservation
from tasks.generate.limits import Slot
from tasks.ledger.open_jobs import OpenJob
from tasks.ledger.queries import find_prediction_ids
from tasks.plan.fallback import choose_fallback, move_to_backend
from tasks.store.images import embedded_parameters, store_image


class JobRun:
    """One job in this run: its attempts, its money, its present prediction."""

    def __init__(self, batch: Batch, open_job: OpenJob, place: Slot) -> None:
        """Go on from where the ledger has the job; its place in flight is taken."""
        self._batch = batch
        self._open_job = open_job
        self._job: Job = open_job.job
        self._backend: Backend = batch.backend(open_job.job.backend)
        self._number = open_job.attempts
        self._attempts_left = batch.settings.backends[open_job.job.backend].max_attempts
        self._started_us = open_job.started_at_us or batch.clock.now_us()
        self._unfinished = open_job.state is not JobState.PLANNED
        self._reservation: Reservation | None = self._take_over() if self._unfinished else None
        self._asked_again = open_job.asked_again and not open_job.withdrawn
        self._place = place
        self._creates = batch.get_limits(open_job.job.backend).creates
        self._landing = batch.get_limits(open_job.job.backend).landing
        self.handed_over: OpenJob | None = None
        """The job as another backend is to go on with it, when this one could not serve it."""

    def _take_over(self) -> Reservation:
        return self._batch.budget.take_over(
            self._open_job.reserved_micros, job_id=self._job.job_id, number=self._number
        )

    async def to_the_end(self) -> JobState:
        """Try until there is a picture, or another attempt would not help.

        Returns:
            `SUCCEEDED`, `FAILED` or `HELD`, as the ledger now has it; `PLANNED` when it was handed over, or is wanted no more.

        Raises:
            BatchStopped: No more may be sent; the ledger has the job open.
            LeaseLost: Another worker goes on with it, from where the ledger has it.
        """
        while self._unfinished or not self._open_job.withdrawn:
            try:
                if (prediction := await (self._recover() if self._unfinished else self._submit())) is None:
                    continue
                await self._collect(prediction)
            except JobError as error:
                if self._asked_again:
                    self._leave_as_it_ended()
                    if self._job.fallbacks:
                        next_one = move_to_backend(self._job, self._job.fallbacks[0], self._batch.settings)
                        return await self._hand_over(next_one, ended=None)
                elif (state := self._end_of(error)) is not None:
                    may_go_on = state is JobState.FAILED and not self._open_job.withdrawn
                    if may_go_on and (other := choose_fallback(self._job, error, self._batch.settings)):
                        return await self._hand_over(other, ended=error)
                    return await self._end(state, error)
                else:
                    await self._fail_attempt(error)
                    await self._pause(error)
            else:
                return JobState.SUCCEEDED
        return JobState.PLANNED

    def _end_of(self, error: JobError) -> JobState | None:
        """The job's state after this error; None where another attempt is made without asking."""
        if isinstance(error, Ambiguous):
            return JobState.HELD
        # By itself a new attempt is made only where the last one cost nothing.
        may_again = self._attempts_left > 0 or isinstance(error, NoRoom)
        again = isinstance(error, Transient) and may_again and error.cost_micros == 0
        return None if again else JobState.FAILED

    async def _pause(self, error: JobError) -> None:
        """Before the next attempt, if there is to be one."""
        if not self._open_job.withdrawn:
            pause_s = error.retry_after_s if isinstance(error, NoRoom) else get_attempt_pause_s(self._number)
            await self._batch.pause(pause_s)

    def _leave_as_it_ended(self) -> None:
        """The look at an attempt that may have been paid for found no picture; now it may be paid again."""
        self._asked_again = self._unfinished = False
        self.let_go()

    async def _hand_over(self, other: Job, *, ended: JobError | None) -> JobState:
        """Leave the job to its next backend, and with it the end of the present attempt, in one commit."""
        if ended is not None:
            self._settle(ended.cost_micros)
        await self._batch.journal.rerouted(
            other, number=self._number, error=ended, latency_ms=self._latency_ms(), now_us=self._batch.clock.now_us()
        )
        self.handed_over = OpenJob(
            job=other,
            state=JobState.PLANNED,
            attempts=self._number,
            prediction=None,
            started_at_us=None,
            reserved_micros=None,
            asked_again=False,
        )
        return JobState.PLANNED

    async def _submit(self) -> Prediction:
        """Start a new attempt: reserve its price, put the intent on disk, send it."""
        self._attempts_left -= 1
        self._asked_again = False
        await self._place.acquire()
        most_micros = self._backend.estimate(self._job).most_micros
        self._reservation = await self._batch.budget.reserve(
            most_micros, job_id=self._job.job_id, number=self._number + 1
        )
        try:
            left_at_s = await self._creates.acquire()
            self._batch.stop.check()
            self._number += 1
            self._started_us = self._batch.clock.now_us()
            await self._batch.journal.submitting(
                self._job, number=self._number, reserved_micros=most_micros, now_us=self._started_us
            )
        except (BatchStopped, LeaseLost):
            self._reservation.settle(0)
            raise
        self._unfinished = True
        return await self._send(left_at_s)

    async def _send(self, left_at_s: float) -> Prediction:
        """Send the intent that is on disk; after an end without an answer, look before sending again."""
        retrying = retry_submit(self._batch.pause)
        lost = 0
        while lost < SUBMIT_TRIES:
            try:
                prediction: Prediction = await retrying(self._create)
            except Throttled as error:
                left_at_s = await self._come_later(error, left_at_s)
                continue
            except Ambiguous:
                lost += 1
                found = await self._find()
                if found is None:
                    left_at_s = await self._next_turn(
                        NotCreated("its answer was lost, and there is no such prediction")
                    )
                    continue
                prediction = found
            except BatchStopped as stopped:
                await self._fail_attempt(NotCreated(str(stopped)))
                raise
            self._creates.record_success()
            self._note_submitted(prediction, int(retrying.statistics.get("attempt_number", 1)) - 1)
            return prediction
        raise NotCreated(f"the service gave no answer {SUBMIT_TRIES} times, and has no such prediction")

    async def _come_later(self, error: Throttled, left_at_s: float) -> float:
        """A 429 is no attempt: slow everybody down and wait for the next turn."""
        self._creates.record_throttle(left_at_s, retry_after_s=error.retry_after_s, per_min=error.creates_per_min)
        return await self._next_turn(error)

    async def _next_turn(self, nothing_created: JobError) -> float:
        """Wait until the same intent may be sent once more, unless the batch stops meanwhile."""
        try:
            left_at_s = await self._creates.acquire()
            self._batch.stop.check()
        except BatchStopped:
            await self._fail_attempt(nothing_created)
            raise
        return left_at_s

    async def _create(self) -> Prediction:
        if self._batch.holding is not None:
            self._batch.holding.check(self._job)
        try:
            check_inputs_supported(self._backend, self._job)
            return await self._backend.submit(self._job, attempt=self._number)
        except (JobError, BatchStopped):
            raise
        except Exception as exc:
            # A backend that breaks in the middle of a paid call has not said what became of it.
            raise Ambiguous(f"{type(exc).__name__}: {exc}", cost_micros=None) from exc

    async def _recover(self) -> Prediction | None:
        """The prediction of an attempt that another run, or an earlier step, left unfinished; None: it was never sent."""
        if self._open_job.prediction is not None:
            return self._open_job.prediction
        found = await self._find()
        if found is None:
            await self._fail_attempt(NotCreated("the run ended before this was sent"))
            return None
        self._note_submitted(found, 0)
        return found

    async def _find(self) -> Prediction | None:
        known = await find_prediction_ids(self._batch.engine, self._job)
        try:
            return await self._backend.find(self._job, since=to_instant(self._started_us), known=known)
        except (Ambiguous, BatchStopped):
            raise
        except Exception as exc:
            # Only None is certainty that there is none.
            raise Ambiguous(f"the look-up broke ({type(exc).__name__}: {exc})", cost_micros=None) from exc

    def _note_submitted(self, prediction: Prediction, retries: int) -> None:
        self._batch.journal.submitted(
            self._job,
            number=self._number,
            prediction=prediction,
            retries=retries,
            now_us=self._batch.clock.now_us(),
        )

    async def _collect(self, prediction: Prediction) -> None:
        """Wait for the picture, fetch it, store it, and put on disk that the job is done."""
        ended = prediction
        try:
            ended = await self._backend.wait(self._job, prediction)
            async with self._landing:
                # The provider has a place free now. Not before: while pictures cannot land, no more are to be paid for.
                self._place.release()
                image: StoredImage = await retry_fetch(self._batch.clock.sleep)(self._fetch_and_store, ended)
        except (BadImage, Unfetched) as error:
            # The picture was made, so its price is known though its bytes cannot be used.
            error.cost_micros = ended.cost_micros
            raise
        except asyncio.CancelledError:
            if self._batch.holding is None or self._batch.holding.holds(self._job):
                await self._backend.cancel(prediction)
            raise
        except (JobError, BatchStopped):
            raise
        except Exception as exc:
            raise JobError(f"{type(exc).__name__}: {exc}", kind="internal", cost_micros=None) from exc
        self._settle(ended.cost_micros)
        await self._batch.journal.succeeded(
            self._job,
            number=self._number,
            prediction=ended,
            image=image,
            latency_ms=self._latency_ms(),
            now_us=self._batch.clock.now_us(),
        )

    async def _fetch_and_store(self, prediction: Prediction) -> StoredImage:
        data = await self._backend.fetch(self._job, prediction)
        parameters = embedded_parameters(self._job) if self._batch.settings.output.embed_parameters else None
        return await store_image(self._batch.out, self._job, data, parameters=parameters)

    async def _fail_attempt(self, error: JobError) -> None:
        """Close the present attempt; the job is open for another one. What the provider had no room for was none."""
        self._attempts_left += isinstance(error, NoRoom)
        self._settle(error.cost_micros)
        self._unfinished = False
        await self._batch.journal.attempt_failed(
            self._job,
            number=self._number,
            error=error,
            latency_ms=self._latency_ms(),
            now_us=self._batch.clock.now_us(),
        )

    async def _end(self, state: JobState, error: JobError) -> JobState:
        self._settle(error.cost_micros)
        await self._batch.journal.ended_without_image(
            self._job,
            number=self._number or None,
            state=state,
            error=error,
            latency_ms=self._latency_ms(),
            now_us=self._batch.clock.now_us(),
        )
        return state

    def _settle(self, cost_micros: int | None) -> None:
        if self._reservation is not None:
            self._reservation.settle(cost_micros)
        self._batch.tally.paid(cost_micros)

    def let_go(self) -> None:
        """Wait for no end any more: what may have been spent stays set aside, and nobody waits for it to come back."""
        if self._reservation is not None:
            self._reservation.settle(None)

    def _latency_ms(self) -> int:
        return max(0, (self._batch.clock.now_us() - self._started_us) // 1_000)
