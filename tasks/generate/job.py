"""One job in one run: its stages, and the effects of what `tasks.generate.decisions` decides.

The intent is on disk before a paid call leaves; `tasks.generate.attempt` changes money and ledger together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NoReturn

from tasks.core.errors import (
    Ambiguous,
    BatchStopped,
    JobError,
    LeaseLost,
    NoRoom,
    NotCreated,
    Throttled,
    UnreadableAnswer,
)
from tasks.core.records import Job, JobState
from tasks.core.retry import get_attempt_pause_s
from tasks.generate.attempt import Attempt, begin_attempt, fail_unsent, take_over_attempt
from tasks.generate.batch import Batch
from tasks.generate.collect import collect_image
from tasks.generate.decisions import Situation, Stage, Step, Trouble, decide_next, explain_exception
from tasks.generate.kept_answers import build_answer_name, build_unreadable_stop
from tasks.generate.limits import build_refused_stop
from tasks.generate.look_up import find_lost
from tasks.generate.slots.slot import Slot
from tasks.ledger.open_jobs import OpenJob
from tasks.plan.fallback import find_fallback
from tasks.store.output.base import NewFile


@dataclass(frozen=True, slots=True)
class JobEnd:
    """A job's end in this run."""

    state: JobState
    """`SUCCEEDED`, `FAILED` or `HELD` as the ledger has it; `PLANNED` where it is rerouted or no longer wanted."""
    rerouted_job: OpenJob | None = None
    """The job as another backend goes on with it."""


class JobRun:
    """One job at one backend, from where the ledger has it to its end."""

    def __init__(self, batch: Batch, open_job: OpenJob, slot: Slot) -> None:
        """Take the job over; its slot is taken already."""
        self._batch = batch
        self._open_job = open_job
        self._job: Job = open_job.job
        self._limits = batch.get_limits(self._job.backend)
        self._slot = slot
        self._attempts = open_job.attempts
        # Counted anew in each run: a resume gives a job its full number of tries.
        self._attempts_left = batch.settings.backends[self._job.backend].max_attempts
        # An attempt of an earlier run is settled before a new one may be paid for.
        self._attempt: Attempt | None = take_over_attempt(batch, open_job)
        self._loss = ""  # how the answer to a create of this process was lost

    async def run(self) -> JobEnd:
        """Run attempts until the job succeeds, fails or is held.

        Raises:
            BatchStopped: No more may be sent; the ledger has the job open.
            LeaseLost: Another worker goes on with it, from where the ledger has it.
        """
        end: JobEnd | None = None
        while end is None:
            try:
                end = await self._advance()
            except LeaseLost:
                raise
            except Exception as exc:  # noqa: BLE001  whatever breaks ends this job and no other
                error = explain_exception(exc, self._stage)
                if isinstance(error, Throttled) and self._attempt is not None:
                    self._attempt.record_refusal(error)
                end = await self._apply(decide_next(error, self._get_situation()), error)
        return end

    def release_budget(self) -> None:
        """Stop waiting for the cost of an open attempt."""
        if self._attempt is not None:
            self._attempt.release_budget()

    @property
    def _stage(self) -> Stage:
        return Stage.READY if self._attempt is None else self._attempt.stage

    @cached_property
    def _fallback(self) -> Job | None:
        """The job as the next backend would make it."""
        return find_fallback(self._job, self._batch.settings)

    async def _advance(self) -> JobEnd | None:
        """Take the present stage's one step towards an image."""
        attempt = self._attempt
        if attempt is None:
            return await self._begin()
        if attempt.stage is Stage.INTENDED:
            await attempt.send()
        elif attempt.prediction is None:
            await self._look_up(attempt)
        else:
            await collect_image(attempt, attempt.prediction, self._slot)
            return JobEnd(JobState.SUCCEEDED)
        return None

    async def _begin(self) -> JobEnd | None:
        if self._open_job.withdrawn:  # its row has left the manifest: what was in flight is settled, no more is sent
            return JobEnd(JobState.PLANNED)
        await self._slot.acquire()
        self._attempt = await begin_attempt(self._batch, self._job, number=self._attempts + 1)
        # Only now: a begin that raised has no row, and numbers have no gaps.
        self._attempts += 1
        self._attempts_left -= 1
        return None

    async def _look_up(self, attempt: Attempt) -> None:
        try:
            found = await find_lost(attempt, self._slot)
        except Ambiguous as error:
            # How the answer was lost tells what to do: a time-out to raise, a gateway that encodes it in another way.
            raise Ambiguous(f"{self._loss}{error}", cost_micros=error.cost_micros) from error
        if found is None:
            raise NotCreated("the answer to its create was lost, and the service has no such prediction")
        attempt.note_submitted(found)

    def _get_situation(self) -> Situation:
        attempt = self._attempt
        at = Situation(
            stage=self._stage,
            refused_s=self._limits.refusals.lasting_s,
            attempts_left=self._attempts_left,
            has_fallback=self._fallback is not None and not self._open_job.withdrawn,
        )
        return at if attempt is None else replace(at, sends=attempt.sends, looks=attempt.looks, consent=attempt.consent)

    async def _apply(self, step: Step, error: Trouble) -> JobEnd | None:
        """Carry a decision out; None while the job goes on."""
        attempt = self._attempt
        if isinstance(error, BatchStopped) or step is Step.STOP:
            # Always raises.
            await self._stop(step, error)
        # No intent was written: there is nothing to close, and nothing is reserved.
        if attempt is None:
            await fail_unsent(self._batch, self._job, error)
            return JobEnd(JobState.FAILED)
        match step:
            case Step.LOOK_UP:
                attempt.stage, self._loss = Stage.LOST, f"{error}; "
            case Step.LOOK_AGAIN:
                attempt.looks += 1
                # Not `pause`: a stop must not keep a paid image from being collected.
                await self._batch.clock.sleep(get_attempt_pause_s(attempt.looks))
            case Step.SEND_AGAIN:
                await self._wait_to_send(attempt, error)
            case Step.NEW_ATTEMPT:
                await self._wait_for_new_attempt(attempt, error)
            case Step.PAY_AGAIN:
                return await self._pay_again(attempt)
            case Step.HAND_OVER if self._fallback is not None:
                return await self._hand_over(attempt, self._fallback, ended=error)
            case Step.FAIL_AND_STOP if isinstance(error, UnreadableAnswer):
                return await self._fail_unreadable(attempt, error)
            case _:
                state = JobState.HELD if step is Step.HOLD else JobState.FAILED
                await attempt.end_job(state, error)
                return JobEnd(state)
        return None

    async def _stop(self, step: Step, error: Trouble) -> NoReturn:
        """Stop the batch; an intent that never left is closed first."""
        stopped = error
        if isinstance(error, JobError):
            stopped = build_refused_stop(self._job.backend, error, now_us=self._batch.clock.now_us())
        if step is Step.STOP and self._attempt is not None:
            await self._close(self._attempt, NotCreated(str(stopped)))
        raise stopped

    async def _fail_unreadable(self, attempt: Attempt, error: UnreadableAnswer) -> JobEnd:
        name = build_answer_name(self._job, attempt.number)
        # First of all: the next create may be about to leave.
        self._batch.stop.stop(build_unreadable_stop(self._batch, self._job, error, name=name))
        await self._batch.out.write(lambda: NewFile(name, error.raw))
        # One kind for all that `--reread` may mend, whatever is wrong with it.
        words = f"{error}; the answer is kept in {name}"
        kept = JobError(words, kind=UnreadableAnswer.kind, cost_micros=error.cost_micros)
        await attempt.end_job(JobState.FAILED, kept)
        return JobEnd(JobState.FAILED)

    async def _close(self, attempt: Attempt, error: JobError) -> None:
        await attempt.close(error)
        self._attempt = None

    async def _wait_to_send(self, attempt: Attempt, error: JobError) -> None:
        """Wait until the same intent may leave once more, unless the batch stops meanwhile."""
        try:
            if attempt.stage is Stage.INTENDED and isinstance(error, NotCreated):
                await self._batch.pause(get_attempt_pause_s(attempt.sends))
            # The look-up may have lent the slot to another job.
            await self._slot.acquire()
            attempt.turn_s = await self._limits.creates.acquire()
            await self._batch.caps.renew(attempt.reservation.caps)
            self._batch.stop.check()
        except BatchStopped:
            await self._close(attempt, error)
            raise
        attempt.stage = Stage.INTENDED

    async def _wait_for_new_attempt(self, attempt: Attempt, error: JobError) -> None:
        # Written first: a kill during the pause must not leave an intent to be looked up.
        await self._close(attempt, error)
        if self._open_job.withdrawn:
            return
        if isinstance(error, NoRoom):  # a full queue does not use up the job's attempts
            self._attempts_left += 1
            await self._batch.pause(error.retry_after_s)
        # A look-up has paused long enough by itself.
        elif attempt.stage is not Stage.LOST:
            await self._batch.pause(get_attempt_pause_s(attempt.number))

    async def _pay_again(self, attempt: Attempt) -> JobEnd | None:
        """The look gave no image: the ledger keeps the attempt's end, and the job gets another attempt."""
        attempt.release_budget()
        self._attempt = None
        return None if self._fallback is None else await self._hand_over(attempt, self._fallback, ended=None)

    async def _hand_over(self, attempt: Attempt, other: Job, *, ended: JobError | None) -> JobEnd:
        """Leave the job to its next backend, and with it the end of the present attempt, in one commit."""
        self._batch.rerouted.add(other.job_id)  # before the ledger shows it to the other backend's shards
        await attempt.reroute_job(other, ended)
        return JobEnd(JobState.PLANNED, OpenJob(job=other, state=JobState.PLANNED, attempts=attempt.number))
