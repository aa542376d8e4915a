"""What a person sees while a batch runs, on standard error: a live bar, plain lines, or nothing.

The engine only keeps a `Tally`; a display reads it a few times a second. Which display is used is decided by
the command line and found here through `current_display`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from tasks.batch import Batch, Tally
from tasks.periodic import repeating
from tasks.records import usd

REFRESH_S = 0.2
LINE_EVERY_S = 10.0


class Display(Protocol):
    """Shows how far a batch is."""

    def phase(self, text: str) -> None:
        """Say what is being done now, as `planning`."""

    def warn(self, text: str) -> None:
        """Say something that stays on the screen."""

    def start(self, left: int) -> None:
        """Generation of so many jobs begins."""

    def update(self, tally: Tally, elapsed_s: float, *, draining: bool) -> None:
        """Show the tally as it stands after so many seconds of generation."""

    def finish(self) -> None:
        """Take the live parts off the screen; safe to call twice."""


class SilentDisplay:
    """Shows nothing."""

    def phase(self, text: str) -> None:
        """See `Display.phase`."""

    def warn(self, text: str) -> None:
        """See `Display.warn`."""

    def start(self, left: int) -> None:
        """See `Display.start`."""

    def update(self, tally: Tally, elapsed_s: float, *, draining: bool) -> None:
        """See `Display.update`."""

    def finish(self) -> None:
        """See `Display.finish`."""


class LineDisplay:
    """Plain lines, for logs and pipes: one at the start, one every ten seconds, one at the end."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self._console = console
        self._left = 0
        self._next_line_at_s = LINE_EVERY_S
        self._last: str | None = None

    def phase(self, text: str) -> None:
        """See `Display.phase`."""
        self.finish()
        self._print(text)

    def warn(self, text: str) -> None:
        """See `Display.warn`."""
        self.phase(f"warning: {text}")

    def start(self, left: int) -> None:
        """See `Display.start`."""
        self._left = left
        self.phase(f"generating {left} images")

    def update(self, tally: Tally, elapsed_s: float, *, draining: bool) -> None:
        """See `Display.update`."""
        self._last = f"{tally.done}/{self._left} done, {describe(tally, elapsed_s, self._left, draining=draining)}"
        if elapsed_s >= self._next_line_at_s:
            self._next_line_at_s += LINE_EVERY_S
            self.finish()

    def finish(self) -> None:
        """See `Display.finish`."""
        if self._last is not None:
            self._print(self._last)
            self._last = None

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)


class LiveDisplay:
    """A bar that stays in place, for terminals."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`."""
        self._console = console
        self._status = console.status("")
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("generating", total=None, facts="")
        self._left = 0

    def phase(self, text: str) -> None:
        """See `Display.phase`."""
        self._bar.stop()
        self._status.update(Text(text))
        self._status.start()

    def warn(self, text: str) -> None:
        """See `Display.warn`."""
        self._console.print(f"warning: {text}", highlight=False, markup=False)

    def start(self, left: int) -> None:
        """See `Display.start`."""
        self._status.stop()
        self._left = left
        self._bar.update(self._task, total=left)
        self._bar.start()

    def update(self, tally: Tally, elapsed_s: float, *, draining: bool) -> None:
        """See `Display.update`."""
        facts = describe(tally, elapsed_s, self._left, draining=draining)
        word = "finishing" if draining else "generating"
        self._bar.update(self._task, completed=tally.done, description=word, facts=facts)

    def finish(self) -> None:
        """See `Display.finish`."""
        self._status.stop()
        self._bar.stop()


def describe(tally: Tally, elapsed_s: float, left: int, *, draining: bool) -> str:
    """Failures, flight, rate, time left and dollars in a few words."""
    rate = tally.done / elapsed_s if elapsed_s > 0 else 0.0
    parts = [f"{tally.failed} failed", f"{tally.in_flight} in flight"]
    if draining:
        return ", ".join([*parts, _money(tally, left), "Ctrl-C again stops now"])
    if rate:
        parts += [f"{rate:.1f}/s", f"{timedelta(seconds=round((left - tally.done) / rate))} left"]
    return ", ".join([*parts, _money(tally, left)])


def _money(tally: Tally, left: int) -> str:
    spent = f"${usd(tally.cost_micros):.2f}"
    if tally.cost_micros and tally.done:
        spent += f" of about ${usd(tally.cost_micros * left // tally.done):.2f}"
    return f"{spent} and {tally.cost_unknown} unknown" if tally.cost_unknown else spent


@asynccontextmanager
async def shown(batch: Batch, *, left: int) -> AsyncIterator[None]:
    """Show the batch's tally on the current display for the duration of the block."""
    display, started_s = current_display.get(), batch.clock.monotonic_s()

    async def update() -> None:
        display.update(batch.tally, batch.clock.monotonic_s() - started_s, draining=batch.stop.requested)

    display.start(left)
    async with repeating(update, every_s=REFRESH_S):
        yield


current_display: ContextVar[Display] = ContextVar("display", default=SilentDisplay())  # noqa: B039  it keeps nothing
