"""`imagen usage`: what was generated, by whom and for how much; and getting the rows to where they are read."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli_support import completion, options
from flows.cli_support.help import SingleUseCommand, SingleUseGroup
from flows.cli_support.values import expand_path

PENDING_STATUS = 3
"""Rows stay pending: push again when what the warning names is corrected."""
app = typer.Typer(cls=SingleUseGroup, rich_markup_mode=None)

Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Start: a date (2026-11-24), a month (2026-11), a date and time, an age (7d, 12h, 30m), or today, yesterday, "
        "week, month, year.",
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="End of the period (exclusive).")]
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        metavar="KEY",
        help="Add up by backend, model, caller, batch, deployment, status, day or month (local time). Separate several with commas.",
        autocompletion=completion.complete_usage_keys,
    ),
]
Raw = Annotated[bool, typer.Option("--raw", help="Show row by row, the newest first.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV. An unknown cost is an empty cell.")]
Batches = Annotated[
    str,
    typer.Argument(
        metavar="DIR",
        help="Output folder of a batch, a folder above several, or the URL of either in a bucket.",
        callback=expand_path,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="postgresql://user:password@host/database. Without it: the variable that usage.database_url_env names.",
    ),
]
Print = Annotated[bool, typer.Option("--print", help="Print the SQL and apply nothing.")]


@app.callback(invoke_without_command=True)
def command(
    context: typer.Context,
    since: Since = None,
    until: Until = None,
    by: By = None,
    raw: Raw = False,
    json: options.Json = False,
    csv: Csv = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
) -> None:
    """Show what was generated, by whom and for how much.

    Example: imagen usage --since 7d --by model,caller
    """
    if context.invoked_subcommand is not None:
        return
    import asyncio
    from datetime import UTC, datetime

    from tasks.core.errors import InputError
    from tasks.runs.configuration import load_named_settings
    from tasks.usage.query import parse_query
    from tasks.usage.report import Form, render_groups, render_rows

    if csv and json:
        raise InputError("--csv and --json exclude each other. Leave one out.")
    settings = load_named_settings(config).usage
    query = parse_query(since=since, until=until, by=by or (), now=datetime.now(UTC))

    async def show() -> None:
        form: Form = "json" if json else "csv" if csv else "table"
        async for line in render_rows(settings, query, form) if raw else render_groups(settings, query, form):
            print(line)

    asyncio.run(show())


@app.command("push", cls=SingleUseCommand)
def push(
    folder: Batches, json: options.Json = False, config: options.Config = None, verbose: options.Verbose = False
) -> None:
    """Push the usage rows that are pending.

    It may run beside a living run, be stopped at any moment and be repeated.

    Example: imagen usage push runs
    """
    import asyncio
    import sys

    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.runs.configuration import choose_config, load_run_settings
    from tasks.usage.push import PushReport, push_folders

    place = choose_config(config)
    # Without one each batch's own says where to, and not the built-in settings.
    settings = None if place is None else load_run_settings(place, anew=True)

    async def push_all() -> list[PushReport]:
        return [report async for report in push_folders(folder, settings)]

    reports = asyncio.run(push_all())
    print(
        dump_json([report.as_dict() for report in reports])
        if json
        else escape_lines("\n".join(report.line() for report in reports))
    )
    if warnings := [report.warning for report in reports if report.warning]:
        print("\n".join(f"imagen: {escape_lines(warning)}" for warning in warnings), file=sys.stderr)
        sys.exit(PENDING_STATUS)


@app.command("migrate", cls=SingleUseCommand)
def migrate(
    url: Url = None, print_only: Print = False, config: options.Config = None, verbose: options.Verbose = False
) -> None:
    """Make the usage table in PostgreSQL or Supabase.

    The table is mai.imagen_usage. Applied again, it changes nothing.

    Example: imagen usage migrate --print
    """
    import asyncio

    from tasks.runs.configuration import load_named_settings
    from tasks.usage.migrate import apply_migrations, choose_database, read_migrations

    if print_only:
        # `print` adds a line end of its own; the migrations end with one.
        print("\n".join(read_migrations().values()), end="")
        return
    database = choose_database(url, load_named_settings(config).usage)
    print("\n".join(asyncio.run(apply_migrations(database)).lines()))
