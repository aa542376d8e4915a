"""The jobs of a batch that have a picture, with its bytes at hand.

Failures are kept out: who trains on pictures wants pictures. A picture that should be there and is not stops the
export, because a data set that is silently smaller than its batch looks complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.errors import OutputError
from tasks.ledger.queries import job_pages
from tasks.records import JobState


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture on disk and the ledger's row about it."""

    row: RowMapping
    path: Path

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            OutputError: It is gone, or is not the file that the ledger tells of.
        """
        try:
            data = self.path.read_bytes()
        except OSError as exc:
            raise OutputError(f"{self.path}: the picture cannot be read ({exc.strerror}); {_MEND}") from None
        if len(data) != self.row["bytes"]:
            raise OutputError(f"{self.path}: has {len(data)} bytes, was written with {self.row['bytes']}; {_MEND}")
        return data


_MEND = "put it back, or take its row out of the manifest and run that again"


async def pictures(engine: AsyncEngine, out: Path) -> AsyncIterator[Picture]:
    """Every picture of the batch in manifest order."""
    async for page in job_pages(engine):
        for row in page:
            if row["state"] == JobState.SUCCEEDED:
                yield Picture(row, out / row["file_name"])
