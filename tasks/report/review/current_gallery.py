"""The gallery of a review, written anew when somebody loads the page and the batch has changed.

A batch may grow while it is reviewed. Another command may also write its gallery, and then removes the scripts that only
the older page names.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.concurrency import run_in_threadpool

from tasks.core.errors import ImagenError
from tasks.ledger.queries import count_jobs, find_last_activity_us, read_made_pages
from tasks.report.gallery import rows
from tasks.report.gallery.build import Gallery, OnProgress, write_gallery
from tasks.store.output import Output


class CurrentGallery:
    """The gallery that the page shows, and the names of all files that it may ask for."""

    def __init__(self, out: Output, engine: AsyncEngine) -> None:
        """Of the batch in `out`, whose ledger is behind `engine`; `write` comes first."""
        self._out, self._engine = out, engine
        self._lock, self._state = asyncio.Lock(), object()
        self.gallery: Gallery
        self.files: frozenset[str]

    async def write(self, on_progress: OnProgress = lambda *_: None) -> None:
        """Write the gallery, and take up the names of its files and of the images.

        Raises:
            InputError: There is no batch.
            OutputError: It could not be written.
        """
        # Before the gallery is written: what changes meanwhile is seen by the next look.
        state = await self._read_state()
        # In a thread with a loop of its own, because verdicts go on meanwhile.
        gallery = await run_in_threadpool(lambda: asyncio.run(write_gallery(self._out, on_progress)))
        # Only these: the folder holds the ledger and the settings as well.
        names = {file_name async for page in read_made_pages(self._engine) for _, file_name in page}
        self.gallery, self.files, self._state = gallery, frozenset(gallery.files() | names), state

    async def refresh(self) -> None:
        """Write it anew where the page would show less than there is, or ask for files that are gone."""
        # Several tabs load their page again at once when their server comes back.
        async with self._lock:
            if not await self._is_current():
                # On a full disk the page that was written before is still better than none.
                with suppress(ImagenError):
                    await self.write()

    async def _is_current(self) -> bool:
        if self._state != await self._read_state():
            return False
        there = {*await self._out.names(rows.FOLDER), *await self._out.names(rows.DETAILS)}
        return self.gallery.script_files() <= there

    async def _read_state(self) -> object:
        return await count_jobs(self._engine), await find_last_activity_us(self._engine)
