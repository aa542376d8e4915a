"""A run's progress and its result on the user's screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from tasks.core.display import Display, current_display
from tasks.core.errors import BatchStopped
from tasks.core.safe_text import dump_json, escape_lines
from tasks.report.displays import QuietDisplay, choose_display, open_lasting_console
from tasks.report.summary import get_exit_code
from tasks.report.summary_screen import print_summary


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[Display]:
    """The display of whatever runs in the block, on standard error; quiet: alerts alone."""
    console = open_lasting_console(sys.stderr)
    display = QuietDisplay(console) if quiet else choose_display(console)
    current_display.set(display)
    try:
        yield display
    finally:
        display.finish()


def print_result(summary: dict[str, Any], *, json: bool, quiet: bool) -> None:
    """Print a run's summary on standard output."""
    if json:
        sys.stdout.write(dump_json(summary) + "\n")
    elif not quiet:
        print_summary(Console(), summary)
    else:
        print_stop(summary)


def print_stop(summary: dict[str, Any]) -> None:
    """Print on standard error why a quiet run has stopped, with exit status 3: that is an error, and nothing else tells it."""
    if get_exit_code(summary) == BatchStopped.exit_code:
        print(escape_lines(f"imagen: {summary['outcome']}"), file=sys.stderr)
