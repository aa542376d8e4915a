"""`imagen compare`: blind pairs of the same rows, from two batches or of two models, and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_support import options
from flows.cli_support.values import expand_path, in_range
from flows.commands.judging.review import Open, Port, Reviewer

if TYPE_CHECKING:  # nothing heavy is loaded for `imagen --help`
    from tasks.report.blind.server import ComparisonRequest

NAME = "compare"
MOST_SEED = 2**63 - 1

Other = Annotated[
    str | None,
    typer.Argument(
        metavar="OTHER", help="A second batch. Without one, the models of DIR are compared.", callback=expand_path
    ),
]
Review = Annotated[bool, typer.Option("--review", help="Serve the page of blind pairs on this machine.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME", help="Compare only images of this model. Give it once for each model."),
]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", help="Seed of the order and of the sides.", callback=in_range(0, MOST_SEED)),
]


def command(
    folder: options.Folder,
    other: Other = None,
    review: Review = False,
    model: Models = None,
    seed: Seed = 0,
    port: Port = 0,
    reviewer: Reviewer = None,
    open_page: Open = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare two batches or models by blind pairs of the same rows.

    With --review it serves the pairs; answers go into the ledger of DIR. Without, it prints the results.

    Example: imagen compare runs/foxes runs/owls --review --open
    """
    import asyncio

    from tasks.core.errors import InputError
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.blind.report import format_results
    from tasks.report.blind.server import ComparisonRequest, read_comparison
    from tasks.store.output import parse_output

    request = ComparisonRequest(
        first=parse_output(folder),
        second=None if other is None else parse_output(other),
        models=tuple(model or ()),
        seed=seed,
    )
    if review:
        if json:
            raise InputError("--json prints results. Leave out --review.")
        _serve(request, port, reviewer, open_page=open_page)
        return
    if open_page or port or reviewer is not None:
        raise InputError("--open, --port and --reviewer belong to --review.")
    record = asyncio.run(read_comparison(request))
    record = {"first": folder, "second": other, **record}
    print(dump_json(record) if json else escape_lines("\n".join(format_results(record))))


def _serve(request: ComparisonRequest, port: int, reviewer: str | None, *, open_page: bool) -> None:
    import asyncio
    import webbrowser
    from contextlib import suppress

    from tasks.core.errors import InputError
    from tasks.report.blind.server import serve_comparison
    from tasks.report.review.judging import get_login

    def ready(address: str) -> None:
        # On standard output, so that a script can read the address while the server runs.
        print(f"compare them: {address} (Ctrl-C ends)", flush=True)
        if open_page:
            webbrowser.open(address)

    try:
        with suppress(KeyboardInterrupt):  # the way to end it
            asyncio.run(serve_comparison(request, port=port, reviewer=reviewer or get_login(), ready=ready))
    except OSError as exc:
        raise InputError(f"--port {port}: cannot be used ({exc.strerror or exc}); choose another one") from None
