"""`imagen status`: where a batch stands, read from its ledger; also while a run is writing it."""

from __future__ import annotations

from flows.commands import options

NAME = "status"


def command(folder: options.Folder, json: options.Json = False, verbose: options.Verbose = False) -> None:
    """Show counts by state and error kind, the cost, and when anything last happened."""
    import asyncio
    from json import dumps

    from tasks.clock import Clock
    from tasks.ledger.database import open_ledger
    from tasks.output import output_at
    from tasks.summary import Summary, summarise, summary_lines

    async def read() -> Summary:
        out = output_at(folder)
        async with open_ledger(out.ledger_folder()) as engine:
            return await summarise(engine, out, now_us=Clock().now_us())

    record = asyncio.run(read()).as_dict()
    lines = [*summary_lines(record), f"last activity {record['last_activity']}"]
    print(dumps(record, ensure_ascii=False) if json else "\n".join(lines))
