"""`imagen show`: one image and everything known about it."""

from __future__ import annotations

from flows.cli_support import options


def command(
    folder: options.Folder,
    id: options.Id,  # noqa: A002  the option's name
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show everything about one image: parameters, file, attempts, costs and errors.

    Example: imagen show runs/foxes --id fox
    """
    import asyncio
    from typing import Any

    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.ledger.database.connect import open_ledger
    from tasks.report.show import format_record, read_record
    from tasks.store.output import parse_output

    async def read() -> dict[str, Any]:
        out = parse_output(folder)
        async with open_ledger(out.ledger_folder()) as engine:
            return await read_record(engine, out, id)

    record = asyncio.run(read())
    print(dump_json(record) if json else escape_lines("\n".join(format_record(record))))
