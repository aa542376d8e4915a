"""Where the process begins: Ctrl-C ends it without a traceback also while the command line is still being loaded."""

from __future__ import annotations

import sys


def main() -> None:
    """Load the command line and run it; see `flows.cli.main`."""
    try:
        from flows.cli import main as run_command  # noqa: PLC0415  it takes a quarter of a second
    except KeyboardInterrupt:
        from tasks.errors import INTERRUPTED_STATUS  # noqa: PLC0415  loading it may be what was interrupted

        sys.exit(INTERRUPTED_STATUS)
    run_command()
