"""`imagen gallery`: a page over a batch's images, opened from the file, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_support import options
from flows.cli_support.values import expand_path

if TYPE_CHECKING:  # nothing heavy is loaded for `imagen --help`
    from tasks.report.gallery.build import Gallery


Other = Annotated[
    str | None,
    typer.Argument(metavar="OTHER", help="A second batch, to compare both side by side.", callback=expand_path),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="FOLDER",
        help="Write the page into this folder, for a batch that you may only read.",
        callback=expand_path,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Also images that `keep` or `reject` of the run left out.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def command(
    folder: options.Folder,
    other: Other = None,
    to: To = None,
    everything: All = False,
    open_page: Open = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Write DIR/index.html, a page to look through a batch without a server.

    With OTHER it also writes DIR/compare-OTHER.html. Run it again, also during a run, to bring the page up to date.

    Example: imagen gallery runs/foxes --open
    """
    import asyncio
    import webbrowser

    from tasks.core.errors import InputError
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.gallery.report import format_gallery
    from tasks.store.output.bucket_url import parse_bucket_url

    # What cannot be done is said before thousands of thumbnails are made.
    if open_page and parse_bucket_url(folder):
        raise InputError(f"{folder}: --open shows pages of this machine; open this one by the bucket's web address")
    if to is not None and other is not None:
        raise InputError("--to and a second batch exclude each other. Leave one out.")
    page, galleries = asyncio.run(
        _write_pages([name for name in (folder, other) if name is not None], to, everything=everything)
    )
    record = {"page": page, "galleries": [gallery.as_dict() for gallery in galleries]}
    print(dump_json(record) if json else escape_lines("\n".join(format_gallery(record))))
    if open_page:
        webbrowser.open(Path(page).resolve().as_uri())


async def _write_pages(folders: list[str], to: str | None, *, everything: bool) -> tuple[str, list[Gallery]]:
    """Write the page of each batch, and that of two; give the page to open."""
    from tasks.report.gallery.build import write_gallery
    from tasks.report.gallery.comparison import find_address, write_comparison
    from tasks.report.gallery.elsewhere import link_batch
    from tasks.report.gallery.report import show_progress
    from tasks.store.output import parse_output

    outs = [parse_output(text) for text in folders]
    if len(outs) > 1:
        find_address(outs[1], outs[0])  # one page can only show both where an address leads from one to the other
    with show_progress() as progress:
        if to is not None:
            gallery = await write_gallery(link_batch(outs[0], to), progress, batch=outs[0], everything=everything)
            return gallery.page, [gallery]
        galleries = [await write_gallery(out, progress, everything=everything) for out in outs]
    first, *second = galleries
    return (await write_comparison(first, second[0]) if second else first.page), galleries
