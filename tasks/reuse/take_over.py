"""All open jobs of a batch against the other batches: what they have made is brought over before anything is sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.configuration.sections import OutputSettings
from tasks.core.errors import UnreadableFile
from tasks.core.records import JobState
from tasks.core.text import format_count
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.open_jobs import Selection, find_open_jobs, list_shards
from tasks.reuse.adopt import adopt_image
from tasks.reuse.finder import Candidate, ReuseFinder, Wanted
from tasks.reuse.ledgers import SourceLedgers
from tasks.reuse.record import ReusedImage, record_reused
from tasks.store.output import Output

PAGE_JOBS = 500
"""Of one look-up and one commit."""
AT_ONCE = 16
"""Files on their way; more would only wait for one disk."""


@dataclass(slots=True, kw_only=True)
class Reused:
    """The images that were taken, and those that could not be."""

    jobs: list[Wanted] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    """Images by the address of their batch."""
    spoilt: Counter[str] = field(default_factory=Counter)
    """Images by batch that are gone or changed since."""
    example: str = ""
    """The reason of the first of them."""
    other_notes: Counter[str] = field(default_factory=Counter)
    """Images by what their files say in another way than this batch's settings."""

    def list_warnings(self) -> list[str]:
        """Lines where images could not be taken over, and are made like any other, or are not as they would be made here."""
        lines = [
            f"reuse: {words} {format_count(number, 'image')}, as another batch wrote them"
            for words, number in sorted(self.other_notes.items())
        ]
        if self.spoilt:
            number = format_count(self.spoilt.total(), "image")
            lines.append(f"reuse: {number} of {', '.join(sorted(self.spoilt)[:3])} cannot be used ({self.example})")
        return lines


class TakeOver:
    """Brings images of other batches into one."""

    def __init__(
        self, finder: ReuseFinder, engine: AsyncEngine, out: Output, *, settings: OutputSettings, clock: Clock
    ) -> None:
        """Take what `finder` finds into `out`, whose ledger is `engine`; the caller holds its lock."""
        self._finder = finder
        self._engine = engine
        self._out = out
        self._settings = settings
        self._clock = clock
        self._ledgers = SourceLedgers()
        self._gate = asyncio.Semaphore(AT_ONCE)
        self.reused = Reused()

    async def take_pages(self, selection: Selection) -> AsyncIterator[int]:
        """Go through the selected jobs that nobody has sent; gives the images so far after each page.

        Killed at any moment and repeated, it takes each image once: a file is in place before its job is done.

        Raises:
            BatchStopped: An image or the ledger cannot be written.
        """
        async with self._ledgers:
            async for shard in list_shards(self._engine, PAGE_JOBS, selection):
                entries = await find_open_jobs(
                    self._engine, shard.first, shard.last, planned_run=shard.planned_run, backend=shard.backend
                )
                planned = {entry.job.job_id: entry.job for entry in entries if entry.state is JobState.PLANNED}
                query = select(jobs.c.job_id, jobs.c.earlier, jobs.c.salt).where(jobs.c.job_id.in_(planned))
                rows = await fetch_rows(self._engine, query)
                await self._take([Wanted(job=planned[it[0]], duplicate_number=it[1], salt=it[2]) for it in rows])
                await self._ledgers.close_oldest()
                yield self.reused.sources.total()

    async def _take(self, wanted: Sequence[Wanted]) -> None:
        found = await self._finder.find(wanted)
        mine = [it for it in wanted if it.job.job_id in found]
        brought = await asyncio.gather(*(self._bring(it, found[it.job.job_id]) for it in mine))
        taken = [it for it in brought if it is not None]
        done = await record_reused(self._engine, taken, now_us=self._clock.now_us())
        self.reused.jobs += [it for it in mine if it.job.job_id in done]
        self.reused.sources.update(it.source for it in taken if it.job.job_id in done)
        self.reused.other_notes.update(words for it in taken if it.job.job_id in done for words in it.other_notes)

    async def _bring(self, wanted: Wanted, candidates: Sequence[Candidate]) -> ReusedImage | None:
        async with self._gate:
            for candidate in candidates:
                try:
                    return await self._bring_from(wanted, candidate)
                except UnreadableFile as exc:
                    self.reused.spoilt[str(candidate.source)] += 1
                    self.reused.example = self.reused.example or str(exc)
        return None

    async def _bring_from(self, wanted: Wanted, candidate: Candidate) -> ReusedImage:
        """Take the image as the ledger of its batch has it now; the index may be older."""
        entry = await self._ledgers.read(candidate.source, candidate.image.job_id)
        adopted = await adopt_image(candidate.source, entry.recorded, self._out, wanted.job, settings=self._settings)
        return ReusedImage(
            job=wanted.job,
            image=adopted.image,
            other_notes=adopted.other_notes,
            source=candidate.source.address,
            seed=entry.seed,
            model_version=entry.model_version,
            verdict=entry.verdict,
        )
