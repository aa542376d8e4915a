"""The step that follows when an attempt meets an error: retry, look, pay again, fall back, fail, hold or stop.

`decide_next` is pure. `tasks.generate.job` carries its answer out, so the rules of who is paid when stand here alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from tasks.core.errors import (
    Ambiguous,
    BadImage,
    BatchStopped,
    JobError,
    NoRoom,
    NotCreated,
    OutputGone,
    StatusUnreadable,
    Throttled,
    Transient,
    Unfetched,
    UnreadableAnswer,
)
from tasks.core.retry import LOOK_TRIES, SUBMIT_TRIES

REFUSAL_PATIENCE_S = 300.0
"""Seconds for which a service may answer every create with 429, or ask to wait, before the batch stops."""


class Stage(Enum):
    """Progress of the present attempt."""

    READY = auto()
    """No attempt is open."""
    INTENDED = auto()
    """The intent is on disk and the call may leave."""
    LOST = auto()
    """The call may have left, and its answer is not known."""
    SUBMITTED = auto()
    """The provider's id is known."""


class Consent(Enum):
    """The user's permission for an attempt that may have been paid for."""

    NONE = auto()
    IF_ENDED = auto()
    """`--retry-failed`: pay again once a look shows that it ended without an image."""
    ANYWAY = auto()
    """`--retry-held`: pay again unless a look finds an image."""


class Step(Enum):
    """The next action of a job."""

    SEND_AGAIN = auto()
    """Send the same intent once more, as the same attempt."""
    LOOK_UP = auto()
    """Search the provider for a prediction whose answer was lost."""
    LOOK_AGAIN = auto()
    """Ask once more about a prediction whose id is known."""
    NEW_ATTEMPT = auto()
    """Close this attempt and make another one."""
    PAY_AGAIN = auto()
    """Leave this attempt as the ledger has it and make another one, as the user allowed."""
    HAND_OVER = auto()
    """Close this attempt; the next backend makes the job."""
    FAIL = auto()
    FAIL_AND_STOP = auto()
    """Keep the answer, fail the job, and stop the batch: the next answers would be like it."""
    HOLD = auto()
    STOP = auto()
    """Close this attempt as never sent and stop the batch."""
    LEAVE = auto()
    """Stop the batch; the next run goes on with this attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A job's state when the error came."""

    stage: Stage
    sends: int = 0
    """Calls of this attempt that left in this run; those answered with 429 do not count."""
    looks: int = 0
    """Looks at the known prediction that broke."""
    attempts_left: int = 0
    refused_s: float = 0.0
    """Seconds for which the service has answered every create with 429."""
    consent: Consent = Consent.NONE
    has_fallback: bool = False
    """Another backend is named for the job."""


Trouble = JobError | BatchStopped


def decide_next(error: Trouble, at: Situation) -> Step:
    """The step that follows `error`; never one that may pay for an image twice unless the user allowed it."""
    if isinstance(error, BatchStopped):
        # An intent that provably never left is closed, else the next run would have to look it up.
        return Step.STOP if at.stage is Stage.INTENDED else Step.LEAVE
    match at.stage:
        case Stage.INTENDED:
            return _decide_after_create(error, at)
        case Stage.LOST:
            return _decide_after_look_up(error, at)
        case Stage.SUBMITTED:
            return _decide_after_look(error, at)
        case _:
            return _decide_end(error, at)


def _decide_after_create(error: JobError, at: Situation) -> Step:
    # A lost answer, a 5xx or an unreadable 2xx: the provider may have created it.
    if isinstance(error, Ambiguous):
        return Step.LOOK_UP
    if isinstance(error, Throttled):
        # A limit of minutes clears by waiting; a daily quota would hold the run for hours.
        waits_long = max(at.refused_s, error.retry_after_s or 0.0) > REFUSAL_PATIENCE_S
        return Step.STOP if waits_long else Step.SEND_AGAIN
    # Free: it is proven that nothing was created.
    if isinstance(error, NotCreated) and at.sends < SUBMIT_TRIES:
        return Step.SEND_AGAIN
    return _decide_end(error, at)


def _decide_after_look_up(error: JobError, at: Situation) -> Step:
    if not isinstance(error, NotCreated):
        # It may exist, and be billed; only the user may decide to pay once more.
        return Step.PAY_AGAIN if at.consent is Consent.ANYWAY else Step.HOLD
    if at.sends == 0:  # an earlier run's intent: its attempt is over
        return Step.NEW_ATTEMPT
    return Step.SEND_AGAIN if at.sends < SUBMIT_TRIES else _decide_end(error, at)


def _decide_after_look(error: JobError, at: Situation) -> Step:
    # Errors after which the prediction may still run, or may have an image.
    is_unclear = isinstance(error, (StatusUnreadable, UnreadableAnswer, Ambiguous))
    # Looks are free.
    if isinstance(error, StatusUnreadable) and at.looks < LOOK_TRIES:
        return Step.LOOK_AGAIN
    if at.consent is Consent.ANYWAY or (at.consent is Consent.IF_ENDED and not is_unclear):
        return Step.PAY_AGAIN
    return _decide_end(error, at)


def _decide_end(error: JobError, at: Situation) -> Step:
    if isinstance(error, Ambiguous) or (isinstance(error, StatusUnreadable) and error.cost_micros is None):
        return Step.HOLD
    # Paid for and useless: every further job would be paid for the same way.
    if isinstance(error, UnreadableAnswer) and error.cost_micros != 0:
        return Step.FAIL_AND_STOP
    # A new attempt is made without asking only where this one cost nothing.
    has_another = isinstance(error, NoRoom) or (isinstance(error, Transient) and at.attempts_left > 0)
    if has_another and error.cost_micros == 0:
        return Step.NEW_ATTEMPT
    # A fallback pays a second provider, so never for an image that the first may have made.
    return Step.HAND_OVER if at.has_fallback and not _may_have_bought_image(error) else Step.FAIL


def _may_have_bought_image(error: JobError) -> bool:
    # These come after an image was made: the next backend would be paid for the same one.
    return error.cost_micros is None or isinstance(error, (BadImage, OutputGone, StatusUnreadable, Unfetched))


def explain_exception(exc: Exception, stage: Stage) -> Trouble:
    """Turn an unexpected exception into the error that says what it means for the money."""
    if isinstance(exc, (JobError, BatchStopped)):
        return exc
    message = f"{type(exc).__name__}: {exc}"
    if stage is Stage.READY:
        # Before any intent: nothing can have left.
        return JobError(message, kind="internal")
    # A bug may strike after the call left, so money counts as spent until a look says otherwise.
    unclear = StatusUnreadable if stage is Stage.SUBMITTED else Ambiguous
    return unclear(message, cost_micros=None)
