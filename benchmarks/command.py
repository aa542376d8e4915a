"""One call of `imagen` inside a measured process."""

from __future__ import annotations

import sys

from flows.start import main


def run(*arguments: str) -> None:
    """Run the command line; an exit status other than 0 leaves the process with it."""
    sys.argv = ["imagen", *arguments]
    try:
        main()
    except SystemExit as left:
        if left.code:
            raise
