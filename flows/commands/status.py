"""`imagen status`: where a batch stands, read from its ledger; also while a run is writing it."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_support import options
from tasks.core.errors import INTERRUPTED_STATUS

if TYPE_CHECKING:  # nothing heavy is loaded for `imagen --help`
    from tasks.report.summary import Summary


Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Go on until the run ends; a run that starts is waited for. With --json it prints one JSON value a second.",
    ),
]


def command(
    folder: options.Folder,
    watch: Watch = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show counts by state and error kind, cost, and last activity of a batch.

    It reads the ledger, also during a run. For a folder above several batches it shows a line for each.

    Example: imagen status runs/foxes --watch
    """
    import asyncio
    import sys

    from tasks.core.errors import InputError

    try:
        # A folder of nights is no batch itself, and each of its batches is shown.
        if batches := _find_batches_below(folder):
            if watch:
                raise InputError(f"{folder}: holds {len(batches)} batches. Name one of them to watch it.")
            asyncio.run(_print_overview(batches, json=json))
        else:
            asyncio.run((_print_json if json else _print_screen)(folder, watch=watch))
    except KeyboardInterrupt:
        # It ends the watching; the run goes on.
        sys.exit(INTERRUPTED_STATUS)


def _find_batches_below(folder: str) -> list[str]:
    """The batches below a folder or prefix that is none itself, such as a folder of nights."""
    from tasks.core.paths import has_ledger
    from tasks.store.output import parse_output

    out = parse_output(folder)
    if has_ledger(out.home):  # also of a bucket, which need not be reached to read a ledger of this machine
        return []
    found = [str(batch) for batch in out.below()]
    return [] if found == [str(out)] else found


async def _print_overview(batches: list[str], *, json: bool) -> None:
    """A line for each batch, or one JSON list; one that cannot be read hides no other, and fails only where there is none."""
    import sys

    from tasks.core.errors import ImagenError
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.summary import format_counts

    records, status = [], 0
    for folder in batches:
        try:
            record = (await _read(folder)).as_dict()
        except ImagenError as exc:
            print(f"imagen: {escape_lines(str(exc))}", file=sys.stderr)
            status = exc.exit_code
            continue
        records.append(record)
        if not json:
            print(escape_lines(f"{folder}: {format_counts(record)}; {record['outcome'] or 'planned'}"))
    if json:
        print(dump_json(records))
    if not records:
        sys.exit(status)


async def _print_json(folder: str, *, watch: bool) -> None:
    from tasks.core.clock import Clock
    from tasks.core.display import Display
    from tasks.core.safe_text import dump_json
    from tasks.ledger.database.connect import open_ledger
    from tasks.report.watch import wait_for_run, wait_for_start, watch_summaries
    from tasks.store.output import parse_output

    out, clock, silent = parse_output(folder), Clock(), Display()
    if watch:
        await wait_for_start(out, silent, clock)
    async with open_ledger(out.ledger_folder()) as engine:
        if watch:
            await wait_for_run(engine, out, silent, clock)
        async with aclosing(watch_summaries(engine, out, clock)) as records:
            async for summary in records:
                print(dump_json(summary.as_dict()), flush=True)
                if not watch:
                    break


async def _print_screen(folder: str, *, watch: bool) -> None:
    from rich.console import Console

    from tasks.report.summary_screen import print_summary

    summary = await (_watch_run if watch else _read)(folder)
    record = summary.as_dict()
    print_summary(Console(), record)
    print(f"last activity {record['last_activity']}")


async def _read(folder: str) -> Summary:
    from tasks.core.clock import Clock
    from tasks.ledger.database.connect import open_ledger
    from tasks.report.summary import summarise
    from tasks.store.output import parse_output

    out = parse_output(folder)
    async with open_ledger(out.ledger_folder()) as engine:
        return await summarise(engine, out, now_us=Clock().now_us())


async def _watch_run(folder: str) -> Summary:
    from rich.console import Console

    from tasks.report.displays import choose_display
    from tasks.report.watch import watch_run
    from tasks.store.output import parse_output

    console = Console(stderr=True)
    summary, was_alive = await watch_run(parse_output(folder), choose_display(console))
    console.print("the run has ended" if was_alive else "no run is alive here", highlight=False)
    return summary
