"""The jobs of a batch that have an image, with its bytes at hand.

Failures are kept out: who trains on images wants images. An image that should be there and is not stops the
export, because a data set that is silently smaller than its batch looks complete.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from sqlalchemy import RowMapping

from tasks.core.errors import OutputError, UnreadableFile
from tasks.core.records import JobState
from tasks.metadata.exports.selection import SelectedJobs
from tasks.store.output import Output

READ_AHEAD = 8
"""Images in memory at most: in a bucket most of the time of one is its way."""

_MEND = "put it back, or take its row out of the manifest and run that again"


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """One image's file and the ledger's row about it."""

    row: RowMapping
    data: bytes


async def iterate_images(jobs: SelectedJobs, out: Output) -> AsyncGenerator[ExportedImage, None]:
    """Every image of these jobs in manifest order; the next ones are read meanwhile. Close it when it is left early.

    Raises:
        OutputError: An image is gone, or is not the file that the ledger tells of.
    """
    ahead: deque[asyncio.Task[ExportedImage]] = deque()
    try:
        async for row in _iterate_rows(jobs):
            # In threads: `Output.read` blocks, for a network's answer where the output is a bucket.
            ahead.append(asyncio.create_task(asyncio.to_thread(_read, out, row)))
            if len(ahead) == READ_AHEAD:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


async def _iterate_rows(jobs: SelectedJobs) -> AsyncIterator[RowMapping]:
    async for page in jobs.read_pages():
        for row in page:
            if row["state"] == JobState.SUCCEEDED:
                yield row


def _read(out: Output, row: RowMapping) -> ExportedImage:
    path = f"{out}/{row['file_name']}"
    try:
        data = out.read(row["file_name"])
    except UnreadableFile as exc:
        raise OutputError(f"{exc}; {_MEND}") from None
    if data is None:
        raise OutputError(f"{path}: the image is gone; {_MEND}")
    # The length, not the hash: it is free, and shows a file that was cut or replaced.
    if len(data) != row["bytes"]:
        raise OutputError(f"{path}: has {len(data)} bytes, was written with {row['bytes']}; {_MEND}")
    return ExportedImage(row, data)
