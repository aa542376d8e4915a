"""The table of what follows an error: each row is one rule of who may be paid when."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.errors import (
    Ambiguous,
    BadImage,
    BatchStopped,
    JobError,
    NoRoom,
    NotCreated,
    OutputGone,
    Refused,
    Rejected,
    StatusUnreadable,
    Throttled,
    Transient,
    Unfetched,
)
from tasks.core.retry import LOOK_TRIES, SUBMIT_TRIES
from tasks.generate.decisions import REFUSAL_PATIENCE_S, Consent, Situation, Stage, Step, Trouble, decide_next

PAID, UNKNOWN, FREE = 3_000, None, 0
INTENDED, LOST, SUBMITTED, READY = Stage.INTENDED, Stage.LOST, Stage.SUBMITTED, Stage.READY
ONE_LEFT, OTHER = {"attempts_left": 1}, {"has_fallback": True}
IF_ENDED, ANYWAY = {"consent": Consent.IF_ENDED}, {"consent": Consent.ANYWAY}
FULL = NoRoom("the queue is full", retry_after_s=60)
SLOWLY = Throttled("slowly", retry_after_s=7)
NO_CREDIT = BatchStopped("credit", "no credit")


def cost(error_type: type[JobError], micros: int | None) -> JobError:
    """An error with what its attempt cost."""
    return error_type("error", cost_micros=micros)


TABLE: list[tuple[Stage, Trouble, dict[str, Any], Step]] = [
    # The create was answered, or not.
    (INTENDED, NotCreated("connection refused"), {"sends": 1}, Step.SEND_AGAIN),
    (INTENDED, NotCreated("connection refused"), {"sends": SUBMIT_TRIES}, Step.FAIL),
    (INTENDED, NotCreated("connection refused"), {"sends": SUBMIT_TRIES, **OTHER}, Step.HAND_OVER),
    (INTENDED, SLOWLY, {"sends": 1}, Step.SEND_AGAIN),
    (INTENDED, SLOWLY, {"sends": SUBMIT_TRIES}, Step.SEND_AGAIN),
    (INTENDED, SLOWLY, {"refused_s": REFUSAL_PATIENCE_S - 1}, Step.SEND_AGAIN),
    (INTENDED, SLOWLY, {"refused_s": REFUSAL_PATIENCE_S + 1}, Step.STOP),
    (INTENDED, Throttled("tomorrow", retry_after_s=86_400), {}, Step.STOP),
    (INTENDED, cost(Ambiguous, UNKNOWN), {"sends": 1}, Step.LOOK_UP),
    (INTENDED, cost(Ambiguous, UNKNOWN), {"sends": SUBMIT_TRIES, **ONE_LEFT, **OTHER}, Step.LOOK_UP),
    (INTENDED, Rejected("422"), ONE_LEFT, Step.FAIL),
    (INTENDED, Rejected("422"), OTHER, Step.HAND_OVER),
    (INTENDED, Refused("moderation"), ONE_LEFT, Step.FAIL),
    (INTENDED, FULL, {}, Step.NEW_ATTEMPT),
    (INTENDED, NO_CREDIT, {}, Step.STOP),
    # The look-up of a lost create.
    (LOST, NotCreated("none"), {"sends": 0}, Step.NEW_ATTEMPT),
    (LOST, NotCreated("none"), {"sends": 0, **ANYWAY}, Step.NEW_ATTEMPT),
    (LOST, NotCreated("none"), {"sends": 1}, Step.SEND_AGAIN),
    (LOST, NotCreated("none"), {"sends": SUBMIT_TRIES}, Step.FAIL),
    (LOST, cost(Ambiguous, UNKNOWN), {"sends": 1, **ONE_LEFT, **OTHER}, Step.HOLD),
    (LOST, cost(Ambiguous, UNKNOWN), IF_ENDED, Step.HOLD),
    (LOST, cost(Ambiguous, UNKNOWN), ANYWAY, Step.PAY_AGAIN),
    (LOST, NO_CREDIT, {}, Step.LEAVE),
    # The prediction is known and ended without an image.
    (SUBMITTED, cost(Transient, FREE), ONE_LEFT, Step.NEW_ATTEMPT),
    (SUBMITTED, cost(Transient, FREE), {}, Step.FAIL),
    (SUBMITTED, cost(Transient, FREE), OTHER, Step.HAND_OVER),
    (SUBMITTED, cost(Transient, PAID), ONE_LEFT, Step.FAIL),
    (SUBMITTED, cost(Transient, UNKNOWN), {**ONE_LEFT, **OTHER}, Step.FAIL),
    (SUBMITTED, FULL, {}, Step.NEW_ATTEMPT),
    (SUBMITTED, cost(Refused, FREE), ONE_LEFT, Step.FAIL),
    (SUBMITTED, cost(Refused, FREE), OTHER, Step.HAND_OVER),
    (SUBMITTED, cost(JobError, PAID), OTHER, Step.HAND_OVER),
    (SUBMITTED, cost(JobError, UNKNOWN), OTHER, Step.FAIL),
    (SUBMITTED, NO_CREDIT, {}, Step.LEAVE),
    # An image was made and cannot be had: it is not bought a second time, here or elsewhere.
    (SUBMITTED, cost(BadImage, PAID), {**ONE_LEFT, **OTHER}, Step.FAIL),
    (SUBMITTED, cost(Unfetched, PAID), {**ONE_LEFT, **OTHER}, Step.FAIL),
    (SUBMITTED, cost(OutputGone, PAID), {**ONE_LEFT, **OTHER}, Step.FAIL),
    # A look that breaks is no end of the prediction.
    (SUBMITTED, cost(StatusUnreadable, UNKNOWN), {"looks": 0, **ONE_LEFT, **OTHER}, Step.LOOK_AGAIN),
    (SUBMITTED, cost(StatusUnreadable, UNKNOWN), {"looks": LOOK_TRIES, **ONE_LEFT, **OTHER}, Step.HOLD),
    (SUBMITTED, cost(StatusUnreadable, FREE), {"looks": LOOK_TRIES, **OTHER}, Step.FAIL),
    (SUBMITTED, cost(StatusUnreadable, UNKNOWN), {"looks": LOOK_TRIES, **IF_ENDED}, Step.HOLD),
    (SUBMITTED, cost(StatusUnreadable, UNKNOWN), {"looks": LOOK_TRIES, **ANYWAY}, Step.PAY_AGAIN),
    (SUBMITTED, cost(Ambiguous, UNKNOWN), {**ONE_LEFT, **OTHER}, Step.HOLD),
    (SUBMITTED, cost(Ambiguous, UNKNOWN), IF_ENDED, Step.HOLD),
    # The user asked for another attempt, and the look at the last one found no image.
    (SUBMITTED, cost(OutputGone, PAID), IF_ENDED, Step.PAY_AGAIN),
    (SUBMITTED, cost(Unfetched, PAID), IF_ENDED, Step.PAY_AGAIN),
    (SUBMITTED, cost(Transient, UNKNOWN), ANYWAY, Step.PAY_AGAIN),
    # Nothing was sent.
    (READY, JobError("the estimate broke", kind="internal"), ONE_LEFT, Step.FAIL),
    (READY, NO_CREDIT, {}, Step.LEAVE),
]


@pytest.mark.parametrize(("stage", "error", "facts", "step"), TABLE)
def test_each_error_has_one_next_step(stage: Stage, error: Trouble, facts: dict[str, Any], step: Step) -> None:
    """Stage, error and policy decide alone; nothing is paid twice that the user did not allow."""
    assert decide_next(error, Situation(stage=stage, **facts)) is step


@pytest.mark.parametrize("error_type", [Ambiguous, BadImage, OutputGone, StatusUnreadable, Transient, Unfetched])
@pytest.mark.parametrize("stage", [LOST, SUBMITTED])
def test_a_cost_that_may_exist_never_leads_to_another_payment(stage: Stage, error_type: type[JobError]) -> None:
    """Without the user's consent an attempt of unknown cost is looked at, failed or held, whatever else is left."""
    at = Situation(stage=stage, sends=1, looks=LOOK_TRIES, attempts_left=3, has_fallback=True)
    assert decide_next(error_type("error", cost_micros=None), at) in {Step.FAIL, Step.HOLD}
