"""Where the process begins: Ctrl-C ends it without a traceback also while the command line is still being loaded."""

from __future__ import annotations

import gc
import sys

GARBAGE_AFTER_OBJECTS = 50_000
"""Python looks for garbage after 700 new objects. What a run loads makes 300,000 that stay: an eighth of the way to the first submit."""


def main() -> None:
    """Load the command line and run it; see `flows.cli.main`."""
    gc.set_threshold(GARBAGE_AFTER_OBJECTS, *gc.get_threshold()[1:])
    try:
        from flows.cli import main as run_command  # noqa: PLC0415  it takes a quarter of a second
    except KeyboardInterrupt:
        from tasks.core.errors import INTERRUPTED_STATUS  # noqa: PLC0415  loading it may be what was interrupted

        sys.exit(INTERRUPTED_STATUS)
    run_command()
