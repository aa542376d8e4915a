"""`imagen usage`: what was generated, by whom and for how much."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands import options

NAME = "usage"
app = typer.Typer(help="Show the usage table, grouped or row by row, with totals.", rich_markup_mode=None)

Since = Annotated[
    str | None, typer.Option("--since", help="From a date (2026-11-24), a date and time, or an age: 7d, 12h, 30m.")
]
Raw = Annotated[bool, typer.Option("--raw", help="Row by row, the newest first.")]


@app.callback(invoke_without_command=True)
def command(
    context: typer.Context,
    since: Since = None,
    raw: Raw = False,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
) -> None:
    """Show the usage table, grouped or row by row, with totals."""
    if context.invoked_subcommand is not None:
        return
    import asyncio
    from datetime import UTC, datetime
    from json import dumps

    from tasks.paths import found_config
    from tasks.settings import load_settings
    from tasks.usage import report

    settings = load_settings(found_config(config)).usage
    start = None if since is None else report.parse_since(since, now=datetime.now(UTC))
    if raw:
        rows = asyncio.run(report.read_rows(settings, start))
        text = dumps([report.row_values(row) for row in rows]) if json else report.raw_table(rows)
    else:
        groups = asyncio.run(report.read_groups(settings, start))
        text = dumps([report.group_values(group) for group in groups]) if json else report.group_table(groups)
    print(text)
