"""Reading other batches' ledgers, one job at a time; each is opened once, and few are open."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import ImagenError, UnreadableFile
from tasks.core.records import JobState
from tasks.core.safe_text import error_text
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import find_ledger
from tasks.ledger.database.schema import jobs, verdicts
from tasks.ledger.database.transactions import fetch_mappings
from tasks.reuse.adopt import Recorded
from tasks.store.output import Output

MOST_OPEN = 16
"""Each open ledger has a thread and file handles of its own."""
UNUSABLE = (ImagenError, SQLAlchemyError, OSError)
"""Errors of a stranger's ledger: they cost its images, never the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """An image as its own batch has it now."""

    recorded: Recorded
    seed: int
    model_version: str | None
    verdict: dict[str, Any] | None
    """The judgement that counts, with its reviewer and instant; None: it was not judged."""


class SourceLedgers:
    """The ledgers of other batches, open while they are asked."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._open: OrderedDict[str, tuple[AsyncEngine, AsyncExitStack]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Use it in a block, which closes what was opened."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all of them."""
        await self.close_oldest(keep=0)

    async def close_oldest(self, *, keep: int = MOST_OPEN) -> None:
        """Close those that were opened first; nobody reads at this moment."""
        while len(self._open) > keep:
            _, (_, stack) = self._open.popitem(last=False)
            await stack.aclose()

    async def read(self, source: Output, job_id: str) -> SourceEntry:
        """Read what the batch has under this job_id.

        Raises:
            UnreadableFile: Its ledger cannot be read any more, or does not have the image.
        """
        try:
            engine = await self._get(source)
            made = (jobs.c.job_id == job_id) & (jobs.c.state == JobState.SUCCEEDED)
            rows = await fetch_mappings(engine, select(jobs).where(made))
            newest = verdicts.c.at_us.desc(), verdicts.c.reviewer
            judged = select(verdicts).where(verdicts.c.job_id == job_id).order_by(*newest).limit(1)
            verdict = await fetch_mappings(engine, judged)
        except UNUSABLE as exc:
            raise UnreadableFile(f"{source}: {error_text(exc, most_chars=200)}") from None
        if not rows or not all(rows[0][name] for name in ("file_name", "sha256", "bytes", "format")):
            raise UnreadableFile(f"{source}: its ledger does not have this image any more")
        row = rows[0]
        return SourceEntry(
            recorded=Recorded(
                file_name=row["file_name"], sha256=row["sha256"], bytes=row["bytes"], format=row["format"]
            ),
            seed=row["seed"],
            model_version=row["model_version"],
            verdict={str(name): value for name, value in verdict[0].items()} if verdict else None,
        )

    async def _get(self, source: Output) -> AsyncEngine:
        # One at a time: a ledger is checked whole when it is opened, and that once is enough.
        async with self._lock:
            if source.address not in self._open:
                stack = AsyncExitStack()
                engine = await stack.enter_async_context(open_ledger(find_ledger(source.ledger_folder())))
                self._open[source.address] = engine, stack
            return self._open[source.address][0]
