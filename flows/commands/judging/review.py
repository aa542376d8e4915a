"""`imagen review`: the gallery on this machine's loopback, where images are picked and rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from flows.cli_support import options
from flows.cli_support.values import in_range

MOST_PORT = 65_535

Port = Annotated[
    int,
    typer.Option("--port", metavar="N", help="Port of the page. 0 takes a free one.", callback=in_range(0, MOST_PORT)),
]
Reviewer = Annotated[
    str | None, typer.Option("--reviewer", metavar="NAME", help="Name of the reviewer. The default is your login.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def command(
    folder: options.Folder,
    port: Port = 0,
    reviewer: Reviewer = None,
    open_page: Open = False,
    verbose: options.Verbose = False,
) -> None:
    """Serve the gallery on this machine to pick and reject images; verdicts go into the ledger.

    Ctrl-C ends it. Every verdict is in the ledger as soon as the page shows it.

    Example: imagen review runs/foxes --open
    """
    from flows.cli_support.local_pages import serve_page
    from tasks.report.gallery.report import show_progress
    from tasks.report.review.judging import read_reviewer
    from tasks.report.review.server import serve_review
    from tasks.store.output import parse_output

    async def serve(ready: Callable[[str], None]) -> None:
        with show_progress() as progress:
            await serve_review(
                parse_output(folder), port=port, reviewer=read_reviewer(reviewer), ready=ready, on_progress=progress
            )

    serve_page(serve, verb="review it", port=port, open_page=open_page)
