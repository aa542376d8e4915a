"""Writing a gallery: thumbnails and rows first, the page that names them last, then what nothing names goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock
from slugify import slugify
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.atomic_files import write_atomically
from tasks.clock import Clock
from tasks.errors import InputError, OutputError
from tasks.gallery import plots, rows, thumbnails
from tasks.gallery.figures import Figures
from tasks.gallery.page import page_html
from tasks.ledger.database import open_ledger
from tasks.ledger.place import require_ledger
from tasks.ledger.queries import count, job_pages
from tasks.output.folder import OutputFolder
from tasks.summary import Summary, summarise

PAGE_NAME = "index.html"
FOLDER = "gallery"
"""What the page loads, inside the output folder."""
LOCK_NAME = "gallery.lock"

OnProgress = Callable[[int, int], None]
"""Takes how many jobs are looked at, and of how many."""


@dataclass(slots=True, kw_only=True)
class Gallery:
    """A batch's gallery: what its pages name, and what people are told."""

    out: Path
    summary: Summary
    scripts: list[str] = field(default_factory=list)
    used_thumbnails: set[str] = field(default_factory=set)
    plots: dict[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)
    jobs: int = 0
    made: int = 0
    """Thumbnails made now; the others were there."""
    missing: int = 0
    """Pictures that the ledger knows and the folder does not hold whole."""

    @property
    def folder(self) -> Path:
        """What its pages load."""
        return self.out / FOLDER

    @property
    def page(self) -> Path:
        """Its own page."""
        return self.out / PAGE_NAME

    def page_data(self, place: str, now_us: int) -> dict[str, Any]:
        """What a page finds of this batch, looked at from `place`, its output folder as a relative URL."""
        return {
            "name": self.out.resolve().name,
            "place": place,
            "written_at_us": now_us,
            "summary": self.summary.as_dict(),
            "scripts": self.scripts,
            "plots": self.plots,
            "can_plot": plots.can_plot(),
            "tables": self.figures.tables(),
        }

    def as_dict(self) -> dict[str, Any]:
        """The record that programs read."""
        return {
            "out": str(self.out),
            "jobs": self.jobs,
            "pictures": len(self.used_thumbnails),
            "thumbnails_made": self.made,
            "missing": self.missing,
            "plots": sorted(self.plots.values()),
            "can_plot": plots.can_plot(),
        }


async def write_gallery(out: Path, on_progress: OnProgress = lambda *_: None, clock: Clock | None = None) -> Gallery:
    """Write, or write anew, `index.html` and what it loads into the output folder; also while a run is alive.

    Raises:
        InputError: The folder holds no batch.
        OutputError: It could not be written; the old page still works.
    """
    now_us = (clock or Clock()).now_us()
    require_ledger(out)
    with _explaining(out), _alone(out):
        async with open_ledger(out) as engine:
            gallery = Gallery(out=out, summary=await summarise(engine, OutputFolder(out), now_us=now_us))
            await _write_jobs(engine, gallery, on_progress)
        _write_page(gallery, now_us)
    return gallery


def write_comparison(first: Gallery, second: Gallery, clock: Clock | None = None) -> Path:
    """Write the page that shows two batches side by side, into the first one's folder.

    Args:
        first: A gallery just written.
        second: Another one; the page loads its pictures from where they are.
        clock: Tells when.

    Returns:
        The page.

    Raises:
        InputError: Both are the same batch.
        OutputError: It could not be written.
    """
    if first.out.resolve() == second.out.resolve():
        raise InputError(f"{first.out}: is compared with itself; name two output folders")
    now_us = (clock or Clock()).now_us()
    here, there = first.page_data("", now_us), second.page_data(_place(second.out, first.out), now_us)
    title = f"{here['name']} and {there['name']}"
    page = first.out / f"compare-{slugify(there['name']) or 'batch'}.html"
    with _explaining(first.out):
        write_atomically(page, page_html(title, {"batches": [here, there]}).encode())
    return page


async def _write_jobs(engine: AsyncEngine, gallery: Gallery, on_progress: OnProgress) -> None:
    total, looked_at = (await count(engine)).total, 0

    def advance() -> None:
        nonlocal looked_at
        looked_at += 1
        on_progress(looked_at, total)

    with thumbnails.Thumbnails(gallery.out, gallery.folder / thumbnails.FOLDER) as small:
        number = 0
        async for found in job_pages(engine):
            page = [{str(name): value for name, value in row.items()} for row in found]
            number += 1
            pictures = await small.of_page(page, advance)
            gallery.figures.add(page)
            gallery.jobs += len(page)
            gallery.made += sum(picture.made for picture in pictures if picture)
            gallery.missing += sum(picture.trouble is not None for picture in pictures if picture)
            gallery.used_thumbnails.update(picture.thumbnail for picture in pictures if picture and picture.thumbnail)
            gallery.scripts.append(rows.write_rows(gallery.folder / rows.FOLDER, number, page, pictures))


def _write_page(gallery: Gallery, now_us: int) -> None:
    if plots.can_plot():
        gallery.plots = plots.write_plots(gallery.figures, gallery.folder / plots.FOLDER)
    here = gallery.page_data("", now_us)
    write_atomically(gallery.page, page_html(here["name"], {"batches": [here]}).encode())
    _remove_unused(gallery)


def _remove_unused(gallery: Gallery) -> None:
    drawn = [f"{name}-{theme}.svg" for name in gallery.plots.values() for theme in plots.INK]
    thumbnails.remove_unused(gallery.folder / thumbnails.FOLDER, gallery.used_thumbnails)
    thumbnails.remove_unused(gallery.folder / plots.FOLDER, drawn)
    thumbnails.remove_unused(gallery.folder / rows.FOLDER, gallery.scripts)


def _place(out: Path, seen_from: Path) -> str:
    """The folder as the beginning of a URL, relative where both are on one drive."""
    try:
        return quote(Path(os.path.relpath(out.resolve(), seen_from.resolve())).as_posix()) + "/"
    except ValueError:
        return out.resolve().as_uri() + "/"


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Wait for another process that writes this gallery: each would remove what only the other one's page names."""
    (out / FOLDER).mkdir(exist_ok=True)
    with FileLock(out / FOLDER / LOCK_NAME):
        yield


@contextmanager
def _explaining(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError(f"{out}: the gallery cannot be written ({exc.strerror or exc})") from exc
