"""From a prediction that runs to a job that is done: wait, fetch, check, store, record."""

from __future__ import annotations

import asyncio
from functools import partial

from tasks.backends.base import Backend
from tasks.core.errors import BadImage, BatchStopped, JobError, StatusUnreadable, Unfetched, UnreadableAnswer
from tasks.core.records import Job, Prediction, StoredImage
from tasks.core.retry import retry_fetch
from tasks.generate.attempt import Attempt
from tasks.generate.batch import Batch
from tasks.generate.further_images import keep_further, stop_at_several
from tasks.generate.slots.slot import Slot
from tasks.store.chunks import name_foreign_format
from tasks.store.images import store_image


async def collect_image(attempt: Attempt, prediction: Prediction, slot: Slot) -> None:
    """Wait for the prediction's end, store its image and record it; repeating this is free.

    Images that nobody asked for are kept too, and stop the batch where they cost more than was reserved.

    Args:
        attempt: Its job is done when this returns.
        prediction: The attempt's; its id is enough.
        slot: Released as soon as the provider has room for another prediction.

    Raises:
        JobError: There is no image; the error carries the cost as far as it is known.
        BatchStopped: No image can be stored now. The ledger still has the prediction.
        LeaseLost: Another worker goes on with the job.
    """
    backend = await attempt.find_backend()
    # While one of ours runs, a service full of our own work is no reason to give up on its 429s.
    with attempt.batch.get_limits(attempt.job.backend).refusals.track_running():
        ended, image = await _wait_and_store(attempt, backend, prediction, slot)
    # After the file is safely stored: a ledger that is ahead of the disk would lose the image for good.
    await attempt.succeed(ended, image)


async def _wait_and_store(
    attempt: Attempt, backend: Backend, prediction: Prediction, slot: Slot
) -> tuple[Prediction, StoredImage]:
    """Give the ended prediction with its cost, and the image on disk."""
    batch, job, ended = attempt.batch, attempt.job, prediction
    try:
        ended = await backend.wait(job, prediction)
        if attempt.sent_s is not None:
            batch.get_limits(job.backend).learn_time(batch.clock.monotonic_s() - attempt.sent_s)
        if ended.images != 1:
            # First of all: the next create may be about to leave.
            stop_at_several(attempt, backend, ended)
        async with batch.get_limits(job.backend).landing:
            # Not before: while images cannot land, no more are to be paid for.
            slot.release()
            image = await retry_fetch(batch.clock.sleep, partial(fetch_and_store, batch, backend, job, ended))
            if ended.further:
                await keep_further(attempt, backend, ended)
            return ended, image
    except (BadImage, Unfetched) as error:
        # The image was made, so its price is known though its bytes cannot be used.
        error.cost_micros = ended.cost_micros
        raise
    # Ctrl-C twice, or a cancelled flow run: nobody will fetch it, so it must not run on at the user's cost.
    except asyncio.CancelledError:
        # Whoever holds the lease now collects it.
        if batch.leases is None or batch.leases.holds(job):
            await backend.cancel(prediction)
        raise
    except (JobError, BatchStopped):
        raise
    except Exception as exc:
        # A look that breaks says nothing about the prediction.
        raise StatusUnreadable(f"{type(exc).__name__}: {exc}", cost_micros=ended.cost_micros) from exc


async def fetch_and_store(batch: Batch, backend: Backend, job: Job, prediction: Prediction) -> StoredImage:
    """Fetch the bytes of an ended prediction, check and write them.

    Raises:
        JobError: They do not come, or are no whole image.
        BatchStopped: They cannot be written.
    """
    # Whole images are held in memory, however many predictions end at once: each waits for its turn to be.
    async with batch.get_limits(job.backend).in_memory:
        data = await backend.fetch(job, prediction)
        try:
            return await store_image(batch.out, job, data, batch.settings.output)
        except BadImage as error:
            if (name := name_foreign_format(data)) is None:
                raise
            # Whole, paid for, and the same however often it is fetched: kept instead of thrown away.
            reason = (
                f"what came is {name}, which is not stored as an image; the service may have a setting for the format"
            )
            raise UnreadableAnswer(reason, raw=data, cost_micros=prediction.cost_micros) from error
