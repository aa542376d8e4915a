"""Answers that were paid for and could not be read: kept in the output, and read again for nothing.

A file `answers/<job_id>-<attempt>.bin` holds the answer's body as it came. It goes when its image is on disk.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial

from tasks.core.errors import BatchStopped, JobError, UnreadableAnswer
from tasks.core.records import Job, JobState, Prediction
from tasks.core.retry import retry_fetch
from tasks.core.safe_text import error_text
from tasks.core.text import format_command
from tasks.generate.batch import Batch
from tasks.generate.collect import fetch_and_store
from tasks.ledger.job_rows import job_from_row
from tasks.ledger.lookup import find_job_row, get_attempts

FOLDER = "answers"
# Strict, because the folder is open to anyone: a name that does not fit is never read.
_NAME = re.compile(rf"{FOLDER}/([0-9a-f]{{64}})-([0-9]{{1,9}})\.bin")


def build_answer_name(job: Job, number: int) -> str:
    """The name in the output of the answer to attempt `number`."""
    return f"{FOLDER}/{job.job_id}-{number}.bin"


async def reread_answers(batch: Batch) -> int:
    """Read the kept answers of failed jobs with the present configuration; nothing is sent or paid.

    Returns:
        The number of jobs that have their image now; each of the others stays as it is, with its answer.

    Raises:
        BatchStopped: No image can be stored now.
    """
    reread = 0
    for name in sorted(await batch.out.names(FOLDER)):
        if found := _NAME.fullmatch(name):
            reread += await _reread(batch, name, found[1], int(found[2]))
    return reread


async def _reread(batch: Batch, name: str, job_id: str, number: int) -> bool:
    row = await find_job_row(batch.engine, job_id)
    # An answer to an older attempt: a later one has made, or will make, the image.
    if row is None or (row.state, row.attempts) != (JobState.FAILED, number):
        return False
    job = job_from_row(row)
    if job.backend not in batch.settings.backends:
        return False
    [attempt] = [attempt for attempt in await get_attempts(batch.engine, job_id) if attempt["number"] == number]
    # Read with today's settings, but charged at the price at which it was sent.
    backend = await batch.find_backend_as_sent(job.backend, attempt["started_at_us"])
    read: Callable[[Job, bytes], Prediction] | None = getattr(backend, "reread", None)
    # A bucket is read over the network; the loop has other jobs to serve.
    raw = await asyncio.to_thread(batch.out.read, name)
    if read is None or raw is None:
        return False
    try:
        prediction = await asyncio.to_thread(read, job, raw)
        fetch = partial(fetch_and_store, batch, backend, job, prediction)
        image = await retry_fetch(batch.clock.sleep, fetch)
    except BatchStopped:
        raise
    except (JobError, ValueError, TypeError, LookupError):  # still not readable: it stays as it is
        return False
    await batch.journal.record_success(
        job,
        number=number,
        prediction=prediction,
        image=image,
        latency_ms=row.latency_ms or 0,
        now_us=batch.clock.now_us(),
    )
    batch.tally.count_end(JobState.SUCCEEDED)
    # Last: until the ledger has the image, the answer is the only proof of the payment.
    await batch.out.remove([name])
    return True


def build_unreadable_stop(batch: Batch, job: Job, error: JobError, *, name: str) -> BatchStopped:
    """Build the stop at the first answer that was paid for and cannot be read: the next ones would be like it."""
    return BatchStopped(
        UnreadableAnswer.kind,
        f"backend {job.backend!r} was paid for an image that cannot be read from its answer ({error_text(error)}). "
        f"The answer is kept in {batch.out}/{name}. Correct the configuration, then run "
        f"`{format_command('resume', batch.out, '--reread')}`, which pays for nothing",
    )
