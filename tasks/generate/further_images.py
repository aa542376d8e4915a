"""Images that a service made beside the one that was asked for: paid for, so kept, and the batch stops at the first.

A file `answers/<job_id>-<attempt>-<n>.<format>` holds each; the job's own image is the first of them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tasks.backends.base import Backend
from tasks.core.display import current_display
from tasks.core.errors import BatchStopped, JobError
from tasks.core.money import format_micros
from tasks.core.records import Prediction
from tasks.core.retry import retry_fetch
from tasks.generate.attempt import Attempt
from tasks.store.chunks import detect_format
from tasks.store.output.base import NewFile

FOLDER = "answers"


def stop_at_several(attempt: Attempt, backend: Backend, ended: Prediction) -> None:
    """Stop the batch where an answer with several images cost more than was reserved, or nobody knows what it cost.

    Every further job would pass the cap in the same way. A model with one price for a run goes on.
    """
    batch, job = attempt.batch, attempt.job
    most_micros = backend.estimate(job).most_micros
    if None not in {ended.cost_micros, most_micros} and ended.cost_micros <= most_micros:  # type: ignore[operator]  # None was asked for
        return
    # This stop tells what it cost and why; that the price is wrong would be bad advice.
    attempt.reservation = replace(attempt.reservation, expected_micros=None)
    # The present job goes on to its image: it is paid for.
    kept = (
        f" The further ones are kept in {batch.out}/{FOLDER}/{job.job_id}-{attempt.number}-*." if ended.further else ""
    )
    batch.stop.stop(
        BatchStopped(
            "several_images",
            f"backend {job.backend!r} made {ended.images} images where one was asked for"
            f"{_describe_cost(ended.cost_micros, most_micros)}.{kept} Set the model's input that counts images to 1 with "
            f"backend_opts, or its price by run (`prices: {{{job.model or 'MODEL'}: {{run: USD}}}}`) where a run has one "
            "price; then resume",
        )
    )


async def keep_further(attempt: Attempt, backend: Backend, ended: Prediction) -> None:
    """Fetch and keep the images beside the first one; one that cannot be had is told and harms nothing."""
    batch, job = attempt.batch, attempt.job
    for place, output in enumerate(ended.further, start=2):
        name = f"{FOLDER}/{job.job_id}-{attempt.number}-{place}"
        try:
            # Bytes as they came: they were paid for, whether or not an image can be read from them.
            fetch = partial(backend.fetch, job, replace(ended, output=output))
            data = await retry_fetch(batch.clock.sleep, fetch)
            file = NewFile(f"{name}.{detect_format(data) or 'bin'}", data)
            await batch.out.write(lambda file=file: file)  # type: ignore[misc]  # bound now: the loop goes on
        except (JobError, BatchStopped) as exc:
            # The job's own image is on disk. Whatever stops the batch here will stop it at the next job too.
            current_display.get().warn(f"{job.label}: image {place} of {ended.images} could not be kept ({exc})")


def _describe_cost(cost_micros: int | None, most_micros: int | None) -> str:
    if cost_micros is None or most_micros is None:
        return ""
    return f", and bills {format_micros(cost_micros)} for the {format_micros(most_micros)} that were reserved"
