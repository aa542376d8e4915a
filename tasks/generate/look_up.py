"""The search for the prediction of a create whose answer was lost."""

from __future__ import annotations

from datetime import datetime, timedelta

from tasks.backends.base import Backend, keeps_list, read_service_time_us
from tasks.core.clock import to_instant
from tasks.core.errors import Ambiguous, BatchStopped
from tasks.core.records import Prediction
from tasks.generate.attempt import Attempt
from tasks.generate.prediction_ids import KnownPredictions, list_known
from tasks.generate.slots.slot import Slot

CLOCK_SKEW = timedelta(seconds=60)
"""By how much a service's clock may differ from this machine's, where the service has not told its time."""


async def find_lost(attempt: Attempt, slot: Slot) -> Prediction | None:
    """Find and claim the prediction of an attempt whose answer was lost.

    Args:
        attempt: The attempt.
        slot: Its job's; lent to another job once the prediction may have ended.

    Returns:
        Its prediction, or None where it is certain that there is none.

    Raises:
        Ambiguous: It cannot be told; money may have been spent.
        BatchStopped: Nobody can be asked now.
    """
    known = attempt.known
    backend = attempt.batch.backend(attempt.job.backend)
    try:
        found = await _find(backend, attempt, slot, known)
        # Another attempt may claim what was found before this one does: search on among the rest.
        while found is not None and not await attempt.claim(found):
            known.listed.add(found.prediction_id)
            found = await _find(backend, attempt, slot, known)
    except (Ambiguous, BatchStopped):
        raise
    except Exception as exc:  # only None is certainty that there is none
        raise Ambiguous(f"the look-up broke ({type(exc).__name__}: {exc})", cost_micros=None) from exc
    return found


async def _find(backend: Backend, attempt: Attempt, slot: Slot, known: KnownPredictions) -> Prediction | None:
    if keeps_list(backend):
        # A run that was killed between its claim and its ledger's commit has left the id in the registry.
        if own := await known.find_own():
            return Prediction(prediction_id=own)
    else:
        await list_known(known)
    since = await _find_since(backend, attempt)
    batch, job = attempt.batch, attempt.job
    limits, estimate_s = batch.get_limits(job.backend), backend.estimate(job).latency_s
    # A look-up pauses and looks again for minutes; the prediction itself has left the service's queue by then.
    async with limits.lend_slot(slot, estimate_s=estimate_s, sleep=batch.clock.sleep):
        found = await backend.find(job, since=since, known=known)
        if found is None and attempt.is_inherited and batch.leases is not None and keeps_list(backend):
            # Its worker may live: what that wrote in the last instant of its lease has as long to arrive as any create.
            await batch.pause(batch.leases.terms.send_margin_s)
            found = await backend.find(job, since=since, known=known)
        return found


async def _find_since(backend: Backend, attempt: Attempt) -> datetime:
    """The instant from which on the service may have made its prediction, by the service's clock."""
    if attempt.sent_us is not None:
        return to_instant(attempt.sent_us)
    # Sent by this machine's clock, which may have been ahead of the service's then as it is now.
    service_us = await read_service_time_us(backend)
    ahead_us = 0 if service_us is None else max(0, attempt.batch.clock.now_us() - service_us)
    return to_instant(attempt.started_us - ahead_us) - CLOCK_SKEW
