"""`imagen gallery`: a page over a batch's pictures, opened from the file, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands import options

NAME = "gallery"

Other = Annotated[
    Path | None, typer.Argument(metavar="[OTHER]", help="A second batch, to be compared with it side by side.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def command(
    folder: options.LocalFolder,
    other: Other = None,
    open_page: Open = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Write DIR/index.html, a page to look through a batch; again, it is brought up to date.

    With OTHER it also writes DIR/compare-OTHER.html. It may be run while the batch is being made.
    """
    import asyncio
    import webbrowser
    from json import dumps

    from tasks.gallery.build import Gallery, write_comparison, write_gallery
    from tasks.gallery.report import gallery_lines, showing_progress

    async def write() -> list[Gallery]:
        with showing_progress() as progress:
            return [await write_gallery(out, progress) for out in (folder, other) if out is not None]

    first, *second = galleries = asyncio.run(write())
    page = write_comparison(first, second[0]) if second else first.page
    record = {"page": str(page), "galleries": [gallery.as_dict() for gallery in galleries]}
    print(dumps(record, ensure_ascii=False) if json else "\n".join(gallery_lines(record)))
    if open_page:
        webbrowser.open(page.resolve().as_uri())
