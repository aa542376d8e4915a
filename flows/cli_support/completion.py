"""What the shell offers behind Tab, beside commands and options: batches, and the names of backends.

Whatever goes wrong here, nothing is offered and nothing is said: a shell has no place for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MOST_FOLDERS = 2_000
"""Looked into before the search for batches ends, so that Tab answers at once in a folder of any size."""
DEEPEST = 4


def batches(incomplete: str) -> list[str]:
    """Output folders at or below what was typed so far; with none, the shell's own completion of paths goes on."""
    with suppress(OSError):
        return [name for name in _batches_below(incomplete) if name.startswith(incomplete)]
    return []


def backends(incomplete: str) -> list[str]:
    """Configured backends."""
    from tasks.core.errors import ImagenError
    from tasks.core.paths import locate_config
    from tasks.core.settings import load_settings

    with suppress(ImagenError):
        return [name for name in load_settings(locate_config(None)).backends if name.startswith(incomplete)]
    return []


def _batches_below(incomplete: str) -> Iterator[str]:
    from tasks.core.paths import LEDGER_NAME

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
