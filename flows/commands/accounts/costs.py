"""`imagen costs`: this month's money against last month's, its forecast, and what it bought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_support import options
from flows.cli_support.fields import take_fields
from flows.cli_support.values import expand_path, expand_paths

Folders = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DIR]...",
        help="Folders whose batches tell verdicts and reasons of failures. The default is runs.",
        callback=expand_paths,
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV. An unknown cost is an empty cell.")]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write one page with plots, which needs no server.", callback=expand_path
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsOptions:
    """Options of `imagen costs`."""

    folders: Folders = None
    html: Html = None
    json: options.Json = False
    csv: Csv = False
    config: options.Config = None
    verbose: options.Verbose = False


@take_fields(CostsOptions)
def command(given: CostsOptions) -> None:
    """Compare this month's costs with last month's, and forecast its end.

    By batch, deployment, model, caller and day, with the cost of each kept image and the most expensive failures.

    Example: imagen costs --html costs.html
    """
    import asyncio
    import os
    from datetime import UTC, datetime

    from tasks.core.errors import InputError
    from tasks.core.paths import RUNS_FOLDER
    from tasks.orchestration.server.planned_days import find_planned_days
    from tasks.runs.configuration import load_named_settings
    from tasks.usage.costs.build import build_report
    from tasks.usage.costs.page import write_page

    if given.csv and given.json:
        raise InputError("--csv and --json exclude each other. Leave one out.")
    settings = load_named_settings(given.config).usage
    folders = given.folders or ([RUNS_FOLDER] if Path(RUNS_FOLDER).is_dir() else [])
    record = asyncio.run(
        build_report(
            settings, folders, now=datetime.now(UTC), find_planned=lambda end: find_planned_days(os.environ, end)
        )
    )
    if given.html is not None:
        write_page(record, given.html)
    _print(given, record)


def _print(given: CostsOptions, record: dict[str, Any]) -> None:
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.usage.costs.screen import format_csv, format_report

    if given.json:
        print(dump_json(record))
    elif given.csv:
        print(format_csv(record))
    else:
        print(escape_lines("\n".join(format_report(record))))
        if given.html is not None:
            print(escape_lines(f"open it: {given.html}"))
