"""Values that the shell offers after Tab, beside commands and options.

Whatever goes wrong here, nothing is offered and nothing is said, because a shell has no place for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

# Tab waits for this walk: on a network drive a large tree would take minutes.
MOST_FOLDERS = 2_000
"""Folders that the search for batches looks into, so that Tab answers at once anywhere."""
# Levels; batches lie in runs/NAME or runs/NAME/DATE.
DEEPEST = 4
# Shells ask before they show more than some hundred.
MOST_IDS = 500
USAGE_KEYS = ("backend", "model", "caller", "batch", "status", "day", "month", "deployment")


def complete_batches(incomplete: str) -> list[str]:
    """Output folders at or below what was typed so far; with none, the shell completes paths as usual."""
    with suppress(OSError):
        return [name for name in _find_batches(incomplete) if name.startswith(incomplete)]
    # A folder that cannot be listed offers nothing; the shell still completes paths.
    return []


def complete_backends(incomplete: str) -> list[str]:
    """Configured backends; after a comma, the next one of a list."""
    from tasks.core.configuration.settings import load_settings
    from tasks.core.errors import ImagenError
    from tasks.core.paths import locate_config

    with suppress(ImagenError):
        return _complete_list(load_settings(locate_config()).backends, incomplete)
    return []


def complete_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Row ids of the batch that was named before."""
    from tasks.ledger.lookup import find_ids_by_prefix

    return sorted(_ask_ledger(ctx, lambda engine: find_ids_by_prefix(engine, incomplete, limit=MOST_IDS)))


def complete_error_kinds(ctx: typer.Context, incomplete: str) -> list[str]:
    """`failed`, `held`, and the error kinds of the batch that was named before."""
    from tasks.ledger.queries import count_jobs

    async def read(engine: Any) -> Iterable[str]:
        return (await count_jobs(engine)).errors

    return _complete_list(["failed", "held", *_ask_ledger(ctx, read)], incomplete)


def complete_usage_keys(incomplete: str) -> list[str]:
    """Keys that usage is added up by."""
    return _complete_list(USAGE_KEYS, incomplete)


def complete_faults(incomplete: str) -> list[str]:
    """Faults that the simulator knows."""
    from tasks.backends.replicate_simulator.faults import FAULTS

    return [name for name in FAULTS if name.startswith(incomplete)]


def _complete_list(names: Iterable[str], incomplete: str) -> list[str]:
    # Options that take a list are completed behind their last comma.
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def _ask_ledger(ctx: typer.Context, question: Callable[[Any], Coroutine[Any, Any, Iterable[str]]]) -> Iterable[str]:
    import asyncio

    from tasks.ledger.database.connect import open_ledger
    from tasks.store.output import parse_output

    async def read() -> Iterable[str]:
        # An option that waits for its value ends the parsing before arguments get their names.
        folder = ctx.params.get("folder") or ctx.args[0]
        async with open_ledger(parse_output(folder).ledger_folder()) as engine:
            return await question(engine)

    # Whatever goes wrong, a traceback here would be printed into the line that is being typed.
    with suppress(Exception):
        return asyncio.run(read())
    return ()


def _find_batches(incomplete: str) -> Iterator[str]:
    from tasks.core.paths import LEDGER_NAME

    # A shell throws away what does not begin as it was typed, and Path would take the `./` away.
    typed = os.path.dirname(incomplete)  # noqa: PTH120  keeps `./` as it was typed
    start = typed or "."
    for number, (name, below, files) in enumerate(os.walk(start)):
        if LEDGER_NAME in files:
            yield name if typed else os.path.relpath(name, start)
        depth = len(Path(os.path.relpath(name, start)).parts)
        if number >= MOST_FOLDERS:
            return
        # A batch has no batch inside; hidden folders hold none.
        below[:] = [] if LEDGER_NAME in files or depth >= DEEPEST else sorted(d for d in below if not d.startswith("."))
