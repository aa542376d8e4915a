"""Messages of `imagen gallery`: its progress, and the files that it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress

from tasks.core.installation import install_command
from tasks.report.displays import can_move


@contextmanager
def show_progress(what: str = "thumbnails") -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where that is a terminal; the block gets what advances it."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not can_move(console)) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def format_gallery(record: dict[str, Any]) -> list[str]:
    """The record in a few lines: for each batch what is to be seen, then the page."""
    return [
        *(_format_line(gallery) for gallery in record["galleries"]),
        f"open it: {record['page']}",
        *_find_plots_hint(record),
    ]


def _format_line(gallery: dict[str, Any]) -> str:
    missing = f", {gallery['missing']} missing or damaged" if gallery["missing"] else ""
    return (
        f"{gallery['out']}: {gallery['pictures']} images of {gallery['jobs']} jobs{missing}; "
        f"{gallery['thumbnails_made']} thumbnails made"
    )


def _find_plots_hint(record: dict[str, Any]) -> list[str]:
    if all(gallery["can_plot"] for gallery in record["galleries"]):
        return []
    return [
        f"The page has no plots, because matplotlib is not installed. Install it with: {install_command('gallery')}"
    ]
