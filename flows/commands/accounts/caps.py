"""`imagen caps`: what each cap has spent, reserved and free, over all batches."""

from __future__ import annotations

from flows.cli_support import options


def command(json: options.Json = False, config: options.Config = None, verbose: options.Verbose = False) -> None:
    """List the caps of the configuration: what is spent, reserved and free today or this month.

    Example: imagen caps
    """
    import asyncio
    import shutil

    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.runs.configuration import load_named_settings
    from tasks.usage.caps import format_caps, list_caps

    record = asyncio.run(list_caps(load_named_settings(config)))
    # Not into a terminal: enough for most tables.
    width = shutil.get_terminal_size((120, 24)).columns
    print(dump_json(record) if json else escape_lines("\n".join(format_caps(record, width=width))))
