"""From a prediction that runs to an image on disk: wait, fetch, check, store."""

from __future__ import annotations

import asyncio
from functools import partial

from tasks.backends.base import Backend
from tasks.core.errors import BadImage, BatchStopped, JobError, StatusUnreadable, Unfetched, UnreadableAnswer
from tasks.core.records import Job, Prediction, StoredImage
from tasks.core.retry import retry_fetch
from tasks.generate.batch import Batch
from tasks.generate.further_images import keep_further, stop_at_several
from tasks.generate.slots.slot import Slot
from tasks.store.chunks import name_foreign_format
from tasks.store.embedding.notes import build_notes
from tasks.store.images import store_image


async def collect_image(
    batch: Batch, backend: Backend, job: Job, prediction: Prediction, slot: Slot, *, number: int
) -> tuple[Prediction, StoredImage]:
    """Wait for the prediction's end and store its image; repeating this is free.

    Images that nobody asked for are kept too, and stop the batch where they cost more than was reserved.

    Args:
        batch: The open batch.
        backend: The backend that it was sent to, with the prices of that time.
        job: The job it was made for.
        prediction: Its id is enough.
        slot: Released as soon as the provider has room for another prediction.
        number: Of the attempt.

    Returns:
        The ended prediction with its cost, and the image on disk.

    Raises:
        JobError: There is no image; the error carries the cost as far as it is known.
        BatchStopped: No image can be stored now. The ledger still has the prediction.
    """
    ended = prediction
    try:
        ended = await backend.wait(job, prediction)
        # First of all: the next create may be about to leave.
        stop_at_several(batch, backend, job, ended, number=number)
        async with batch.get_limits(job.backend).landing:
            # Not before: while images cannot land, no more are to be paid for.
            slot.release()
            fetch = partial(fetch_and_store, batch, backend, job, ended)
            stored = await retry_fetch(batch.clock.sleep, fetch)
            await keep_further(batch, backend, job, ended, number=number)
            return ended, stored
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
        output = batch.settings.output
        try:
            notes = build_notes(job, output)
            return await store_image(batch.out, job, data, notes=notes, signing=output.signing, verify=output.verify)
        except BadImage as error:
            if (name := name_foreign_format(data)) is None:
                raise
            # Whole, paid for, and the same however often it is fetched: kept instead of thrown away.
            reason = (
                f"what came is {name}, which is not stored as an image; the service may have a setting for the format"
            )
            raise UnreadableAnswer(reason, raw=data, cost_micros=prediction.cost_micros) from error
