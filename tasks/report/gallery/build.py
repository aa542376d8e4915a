"""Writing a gallery: thumbnails and rows first, the page that names them last, then what nothing names goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from filelock import FileLock
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.errors import OutputError, UnreadableFile
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import require_ledger
from tasks.ledger.queries import count_jobs, read_job_pages
from tasks.ledger.runs import get_batch_identity
from tasks.ledger.scores import parse_kept
from tasks.report.gallery import plots, rows, thumbnails
from tasks.report.gallery.figures import Figures
from tasks.report.gallery.page import is_page, render_page
from tasks.report.gallery.rows import RowScripts
from tasks.report.summary import Summary, summarise
from tasks.store.disk import explain_write_errors
from tasks.store.output import NewFile, Output
from tasks.store.output.base import IMAGES

PAGE_NAME = "index.html"
WHAT = "the gallery"
LOCK_NAME = "gallery/gallery.lock"
FOLDERS = (thumbnails.FOLDER, rows.FOLDER, rows.DETAILS, plots.FOLDER)
"""Folders that the page loads from; only a gallery writes there."""

OnProgress = Callable[[int, int], None]
"""Takes how many jobs are looked at, and of how many."""


@dataclass(slots=True, kw_only=True)
class Gallery:
    """A batch's gallery: what its pages name, and what people are told."""

    out: Output
    summary: Summary
    scripts: list[RowScripts] = field(default_factory=list)
    used_thumbnails: set[str] = field(default_factory=set)
    plots: dict[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)
    key: str = ""
    """Of the batch, whatever its folder is called: under it a browser keeps what is judged without a server."""
    written_at_us: int = 0
    everything: bool = True
    """Also images that gates left out."""
    jobs: int = 0
    made: int = 0
    """Thumbnails made now; the others were there."""
    missing: int = 0
    """Images that the ledger knows and the output does not hold whole."""

    @property
    def page(self) -> str:
        """Path or URL of its own page."""
        return f"{self.out}/{PAGE_NAME}"

    def page_data(self, place: str, now_us: int) -> dict[str, Any]:
        """Build the page's data about this batch, seen from `place`, its output as a relative URL."""
        return {
            "name": self.out.name,
            "key": self.key,
            "place": place,
            "written_at_us": now_us,
            "summary": self.summary.as_dict(),
            "scripts": [script.shown for script in self.scripts],
            "plots": self.plots,
            "can_plot": plots.can_plot(),
            "tables": self.figures.tables(),
        }

    def as_dict(self) -> dict[str, Any]:
        """The record that programs read."""
        return {
            "out": str(self.out),
            "jobs": self.jobs,
            "pictures": len(self.used_thumbnails),  # a key that programs read; it kept the product's older word
            "thumbnails_made": self.made,
            "missing": self.missing,
            "plots": sorted(self.plots.values()),
            "can_plot": plots.can_plot(),
        }

    def script_files(self) -> set[str]:
        """Names of the scripts without which its page shows nothing."""
        shown = (f"{rows.FOLDER}/{script.shown}" for script in self.scripts)
        return {*shown, *(f"{rows.DETAILS}/{script.details}" for script in self.scripts)}

    def files(self) -> set[str]:
        """Names of everything that its page loads, beside the images themselves."""
        return {
            *(f"{thumbnails.FOLDER}/{name}" for name in self.used_thumbnails),
            *self.script_files(),
            *(plots.get_file_name(name, theme) for name in self.plots.values() for theme in plots.INK),
        }


async def write_gallery(
    out: Output,
    on_progress: OnProgress = lambda *_: None,
    *,
    batch: Output | None = None,
    everything: bool = False,
) -> Gallery:
    """Write, or write anew, `index.html` and what it loads into the output; also while a run is alive.

    With `batch`, the page shows that batch, whose images the output only links to. Images that gates left out are on
    the page with `everything` only.

    Raises:
        InputError: There is no batch.
        OutputError: It could not be written, and the old page still works; or `index.html` is another program's.
    """
    now_us = Clock().now_us()
    batch = batch or out
    home = batch.ledger_folder()
    require_ledger(home)
    _refuse_foreign_page(out)
    with explain_write_errors(WHAT, out), _lock_gallery(out):
        # Named before anything is written: what is still named afterwards stays, the rest goes.
        before = {name for folder in FOLDERS for name in await out.names(folder)}
        async with open_ledger(home) as engine:
            summary = await summarise(engine, batch, now_us=now_us)
            gallery = Gallery(
                out=out,
                summary=summary,
                key=await get_batch_identity(engine),
                written_at_us=now_us,
                everything=everything,
            )
            await _write_jobs(engine, gallery, before, on_progress)
        await _write_page(gallery, now_us)
        # Last, so that an open page never asks for a file that is gone.
        await out.remove(before - gallery.files())
    return gallery


def _refuse_foreign_page(out: Output) -> None:
    """Pass where no page is, or one of ours: the folder may be a web site."""
    try:
        there = out.read(PAGE_NAME)
    except UnreadableFile:
        return  # told where it cannot be written either
    if there and not is_page(there):
        raise OutputError(
            f"{out}/{PAGE_NAME}: is not a page of `imagen gallery` and would be overwritten. Move it away, or name "
            "another folder with --to."
        )


async def _write_jobs(engine: AsyncEngine, gallery: Gallery, before: set[str], on_progress: OnProgress) -> None:
    total, looked_at = (await count_jobs(engine)).total, 0

    def advance() -> None:
        nonlocal looked_at
        looked_at += 1
        on_progress(looked_at, total)

    small = thumbnails.Thumbnails(gallery.out, sizes=await gallery.out.sizes(IMAGES), made=before)
    number = 0
    # In pages, as the ledger gives them: a gallery of a million images must fit into memory.
    async for found in read_job_pages(engine):
        shown = [row for row in found if gallery.everything or parse_kept(row["scores"]) is not False]
        page = [{str(name): value for name, value in row.items()} for row in shown]
        number += 1
        images = await small.make_page(page, advance)
        gallery.figures.add(page)
        gallery.jobs += len(page)
        gallery.made += sum(image.made for image in images if image)
        gallery.missing += sum(image.trouble is not None for image in images if image)
        gallery.used_thumbnails.update(image.thumbnail for image in images if image and image.thumbnail)
        gallery.scripts.append(await rows.write_rows(gallery.out, number, page, images, before))


async def _write_page(gallery: Gallery, now_us: int) -> None:
    # Plots are an extra, and a page without them is whole.
    if plots.can_plot():
        gallery.plots = await plots.write_plots(gallery.figures, gallery.out)
    here = gallery.page_data("", now_us)
    page = render_page(here["name"], {"batches": [here]})
    await gallery.out.write(partial(NewFile, PAGE_NAME, page.encode()))


@contextmanager
def _lock_gallery(out: Output) -> Iterator[None]:
    """Wait for another process of this machine that writes this gallery.

    Each would remove what only the other one's page names. Two machines that write into one bucket do not wait.
    """
    # A lock of files, because two processes may write one gallery.
    lock = out.home / LOCK_NAME
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock):
        yield
