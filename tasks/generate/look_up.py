"""Looking for the prediction of a create whose answer was lost, and claiming it for its attempt."""

from __future__ import annotations

from tasks.backends.base import Backend, keeps_list
from tasks.core.errors import Ambiguous, BatchStopped
from tasks.core.records import Prediction
from tasks.generate.attempt import Attempt
from tasks.generate.limits import Slot
from tasks.generate.prediction_ids import KnownPredictions, list_known


async def claim_prediction(backend: Backend, attempt: Attempt, prediction: Prediction) -> bool:
    """True where the prediction is this attempt's; a backend without a shared list hands out no other's."""
    if not keeps_list(backend):
        return True
    return await attempt.batch.ids.claim(_know(backend, attempt).build_claim(prediction.prediction_id))


async def find_lost(backend: Backend, attempt: Attempt, slot: Slot) -> Prediction | None:
    """Find and claim the prediction of an attempt whose answer was lost.

    Args:
        backend: The backend that it was sent to.
        attempt: The attempt.
        slot: Its job's; lent to another job once the prediction may have ended.

    Returns:
        Its prediction, or None where it is certain that there is none.

    Raises:
        Ambiguous: It cannot be told; money may have been spent.
        BatchStopped: Nobody can be asked now.
    """
    known = _know(backend, attempt)
    try:
        found = await _find(backend, attempt, slot, known)
        while found is not None and not await claim_prediction(backend, attempt, found):
            known.listed.add(found.prediction_id)
            found = await _find(backend, attempt, slot, known)
    except (Ambiguous, BatchStopped):
        raise
    except Exception as exc:  # only None is certainty that there is none
        raise Ambiguous(f"the look-up broke ({type(exc).__name__}: {exc})", cost_micros=None) from exc
    return found


async def _find(backend: Backend, attempt: Attempt, slot: Slot, known: KnownPredictions) -> Prediction | None:
    if keeps_list(backend):
        if own := await known.find_own():
            return Prediction(prediction_id=own)
    else:
        await list_known(known)
    since = await attempt.find_since()
    batch, job = attempt.batch, attempt.job
    limits, usual_s = batch.get_limits(job.backend), backend.estimate(job).latency_s
    async with limits.lend_slot(slot, after_s=usual_s, sleep=batch.clock.sleep):
        return await backend.find(job, since=since, known=known)


def _know(backend: Backend, attempt: Attempt) -> KnownPredictions:
    account = backend.allowance().account
    return KnownPredictions(ids=attempt.batch.ids, account=account, job=attempt.job, number=attempt.number)
