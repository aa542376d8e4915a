"""Asking other batches for images: which of them have a job's, as far as the index and their files tell."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import Job, JobState
from tasks.core.text import format_count
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import SqliteFile, find_ledger
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.job_rows import job_from_row
from tasks.reuse.identity import compute_saltless_id, compute_taken_id
from tasks.reuse.index import IndexedImage, open_index, open_private_index
from tasks.reuse.ledgers import UNUSABLE
from tasks.reuse.options import ReuseOptions
from tasks.reuse.sources import MOST_TOLD, SourceList
from tasks.store.output import Output
from tasks.store.output.base import IMAGES
from tasks.store.output.folder import OutputFolder

PAGE_ROWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job that an image is looked for."""

    job: Job
    duplicate_number: int
    salt: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image of another batch that may be taken."""

    source: Output
    image: IndexedImage


class ReuseFinder:
    """The other batches, read as far as they have changed since they were read last."""

    def __init__(self, stack: ExitStack, options: ReuseOptions, own: Output) -> None:
        """Open the index, which `stack` closes; `own` is no source of itself."""
        self._stack = stack
        self._index = stack.enter_context(open_index())
        self._options = options
        self._own = own
        self._list = SourceList(options.patterns, own)
        self._sources: dict[int, Output] = {}
        """By their number in the index, in the order in which the user named them."""
        self._sizes: dict[int, dict[str, int]] = {}
        self._gone: Counter[str] = Counter()
        """Images by batch that its ledger has and its folder has not."""

    async def refresh(self) -> None:
        """Read the ledgers that have changed. One that cannot be read is skipped, and told."""
        try:
            await self._read_sources()
        except sqlite3.Error:
            await self._read_privately()

    async def _read_privately(self) -> None:
        """Read all ledgers into an index of this process alone: they hold all that a lost, full or locked one would."""
        self._index = self._stack.enter_context(open_private_index())
        self._list = SourceList(self._options.patterns, self._own)
        self._sources.clear()
        self._sizes.clear()
        await self._read_sources()

    async def _read_sources(self) -> None:
        self._index.forget_missing()
        for out in self._list.find():
            try:
                self._sources[await self._refresh(out)] = out
            except UNUSABLE as exc:
                self._list.note_problem(out, exc)

    def list_problems(self) -> list[str]:
        """One line for each place that is skipped, and for each batch whose images are gone."""
        gone = [
            f"reuse: {format_count(number, 'image')} of {source} cannot be used, because its files are gone or have another size"
            for source, number in self._gone.most_common(MOST_TOLD)
        ]
        return [*self._list.list_problems(), *gone]

    def note_problem(self, source: Output, reason: object) -> None:
        """Tell of a batch that turns out unusable later."""
        self._list.note_problem(source, reason)

    async def find(self, wanted: Sequence[Wanted]) -> dict[str, list[Candidate]]:
        """By job_id: images whose files are there, in the order of the sources; the same salt first."""
        try:
            found = self._look_up(wanted)
        except sqlite3.Error:  # damaged, or another program's, in a way that its opening did not see
            await self._read_privately()
            found = self._look_up(wanted)
        there = {job_id: [hit for hit in hits if await self._is_there(hit)] for job_id, hits in found.items()}
        # Told once for a job, and only where no other batch has its image.
        self._gone.update(str(found[job_id][0].source) for job_id, hits in there.items() if not hits)
        return {job_id: hits for job_id, hits in there.items() if hits}

    def _look_up(self, wanted: Sequence[Wanted]) -> dict[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = defaultdict(list)
        by_id = {it.job.job_id: it.job for it in wanted}
        self._collect(found, {job_id: [job] for job_id, job in by_id.items()}, saltless=False)
        if self._options.any_salt:
            by_saltless: dict[str, list[Job]] = defaultdict(list)
            for it in wanted:
                if without := compute_saltless_id(it.job, duplicate_number=it.duplicate_number, salt=it.salt):
                    by_saltless[without].append(it.job)
            self._collect(found, by_saltless, saltless=True)
        return found

    def _collect(self, found: dict[str, list[Candidate]], jobs_by_id: dict[str, list[Job]], *, saltless: bool) -> None:
        places = {number: place for place, number in enumerate(self._sources)}
        hits = sorted(
            self._index.find(jobs_by_id.keys(), places.keys(), saltless=saltless), key=lambda it: places[it[1].source]
        )
        for name, hit in hits:
            for job in jobs_by_id[name]:
                candidate = Candidate(self._sources[hit.source], hit.image)
                # Another format was asked for: it is another file, and perhaps was another request.
                if hit.image.format == job.format and candidate not in found[job.job_id]:
                    found[job.job_id].append(candidate)

    async def _is_there(self, hit: Candidate) -> bool:
        """True if the file has the size that its ledger says; its bytes are looked at when it is taken."""
        if isinstance(hit.source, OutputFolder):
            return hit.source.find_file(hit.image.file_name, size=hit.image.bytes) is not None
        number = next(number for number, out in self._sources.items() if out is hit.source)
        if number not in self._sizes:
            # One request for a thousand objects, where each would be one of its own.
            self._sizes[number] = await hit.source.sizes(IMAGES)
        return self._sizes[number].get(hit.image.file_name) == hit.image.bytes

    async def _refresh(self, out: Output) -> int:
        place = find_ledger(out.ledger_folder())
        address = out.address
        if isinstance(place, SqliteFile):
            signature = _sign_file(place.path)
            if (known := self._index.find_source(address, signature)) is not None:
                return known
            async with open_ledger(place) as engine:
                return await self._index.replace_source(address, signature, _read_images(engine))
        # A server's ledger has no file whose time would tell.
        async with open_ledger(place) as engine:
            signature = await _sign_rows(engine)
            known = self._index.find_source(address, signature)
            return known or await self._index.replace_source(address, signature, _read_images(engine))


@asynccontextmanager
async def open_finder(options: ReuseOptions, own: Output) -> AsyncIterator[ReuseFinder]:
    """The other batches for the duration of the block, their ledgers read; `own` is none of them."""
    with ExitStack() as stack:
        finder = ReuseFinder(stack, options, own)
        await finder.refresh()
        yield finder


def _sign_file(path: Path) -> str:
    """Times and sizes of a ledger and its log: another signature means that it was written."""
    parts = []
    for name in (path, path.with_name(f"{path.name}-wal")):
        try:
            found = name.stat()
        except FileNotFoundError:
            continue
        # An empty log comes and goes with every reader.
        if found.st_size:
            parts.append(f"{found.st_ino}:{found.st_mtime_ns}:{found.st_size}")
    return " ".join(parts)


async def _sign_rows(engine: AsyncEngine) -> str:
    made = select(func.count(), func.max(jobs.c.completed_at_us)).where(jobs.c.state == JobState.SUCCEEDED)
    return str(tuple((await fetch_rows(engine, made))[0]))


async def _read_images(engine: AsyncEngine) -> AsyncIterator[list[IndexedImage]]:
    """Every image whose row gives its own identity, also of rows that left the manifest: their files stay."""
    after = ""
    while True:
        query = select(jobs).where((jobs.c.state == JobState.SUCCEEDED) & (jobs.c.job_id > after))
        rows = await fetch_rows(engine, query.order_by(jobs.c.job_id).limit(PAGE_ROWS))
        if not rows:
            return
        after = rows[-1].job_id
        yield list(_index_rows(rows))


def _index_rows(rows: Iterable[Any]) -> Iterable[IndexedImage]:
    for row in rows:
        job = job_from_row(row)
        without = own = compute_saltless_id(job, duplicate_number=row.earlier, salt=row.salt)
        if own is None and row.reused_from is not None:
            without = compute_taken_id(job, duplicate_number=row.earlier, salt=row.salt)
        if without is not None and row.file_name and row.bytes:
            yield IndexedImage(
                job_id=job.job_id,
                is_of_its_salt=own is not None,
                saltless_id=without,
                format=job.format,
                file_name=row.file_name,
                bytes=row.bytes,
            )
