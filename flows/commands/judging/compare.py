"""`imagen compare`: blind pairs of the same rows, from two batches or of two models, and their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_support import options
from flows.cli_support.fields import take_fields
from flows.cli_support.values import expand_path, in_range
from flows.commands.judging.review import Open, Port, Reviewer

if TYPE_CHECKING:  # nothing heavy is loaded for `imagen --help`
    from tasks.report.blind.server import ComparisonRequest

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """Options of `imagen compare`."""

    folder: options.Folder
    other: Other = None
    review: Review = False
    model: Models = None
    seed: Seed = 0
    port: Port = 0
    reviewer: Reviewer = None
    open_page: Open = False
    json: options.Json = False
    verbose: options.Verbose = False


@take_fields(CompareOptions)
def command(given: CompareOptions) -> None:
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
        first=parse_output(given.folder),
        second=None if given.other is None else parse_output(given.other),
        models=tuple(given.model or ()),
        seed=given.seed,
    )
    if given.review:
        _serve(request, given)
        return
    if given.open_page or given.port or given.reviewer is not None:
        raise InputError("--open, --port and --reviewer belong to --review.")
    record = {"first": given.folder, "second": given.other, **asyncio.run(read_comparison(request))}
    print(dump_json(record) if given.json else escape_lines("\n".join(format_results(record))))


def _serve(request: ComparisonRequest, given: CompareOptions) -> None:
    from functools import partial

    from flows.cli_support.local_pages import serve_page
    from tasks.core.errors import InputError
    from tasks.report.blind.server import serve_comparison
    from tasks.report.review.judging import read_reviewer

    if given.json:
        raise InputError("--json prints results. Leave out --review.")
    serve = partial(serve_comparison, request, port=given.port, reviewer=read_reviewer(given.reviewer))
    serve_page(lambda ready: serve(ready=ready), verb="compare them", port=given.port, open_page=given.open_page)
