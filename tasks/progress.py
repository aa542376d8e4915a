"""What a person sees while a batch runs, on standard error: a live bar, plain lines, or nothing.

The engine only keeps a `Tally`; a display reads it a few times a second. Which display is used is decided by
the command line and found here through `current_display`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Protocol

from tasks.batch import Batch
from tasks.periodic import repeating
from tasks.standing import RateMeter, Standing

REFRESH_S = 0.2


class Display(Protocol):
    """Shows how far a batch is."""

    def phase(self, text: str) -> None:
        """Say what is being done now, as `planning`."""

    def warn(self, text: str) -> None:
        """Say something that stays on the screen."""

    def start(self, left: int) -> None:
        """Generation of so many jobs begins."""

    def update(self, standing: Standing, elapsed_s: float) -> None:
        """Show how the batch stands after so many seconds of generation."""

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

    def update(self, standing: Standing, elapsed_s: float) -> None:
        """See `Display.update`."""

    def finish(self) -> None:
        """See `Display.finish`."""


@asynccontextmanager
async def shown(batch: Batch, *, left: int) -> AsyncIterator[None]:
    """Show the batch's tally on the current display for the duration of the block."""
    display, meter, started_s = current_display.get(), RateMeter(), batch.clock.monotonic_s()
    meter.rate_per_s(started_s, 0)

    async def update() -> None:
        now_s = batch.clock.monotonic_s()
        rate_per_s = meter.rate_per_s(now_s, batch.tally.done)
        display.update(standing_of(batch, left=left, rate_per_s=rate_per_s), now_s - started_s)

    display.start(left)
    async with repeating(update, every_s=REFRESH_S):
        yield


def standing_of(batch: Batch, *, left: int, rate_per_s: float) -> Standing:
    """How a running batch stands, of the jobs that were left when it began."""
    tally, paces = batch.tally, batch.paces
    slowed = [pace.per_min for pace in paces if pace.is_slowed]
    return Standing(
        total=left,
        done=tally.done,
        failed=tally.failed,
        in_flight=tally.in_flight,
        rate_per_s=rate_per_s,
        cost_micros=tally.cost_micros,
        cost_unknown=tally.cost_unknown,
        draining=batch.stop.requested,
        interrupted=batch.stop.interrupted,
        slowed_to_per_min=min(slowed, default=None),
        pause_s=max((pace.pause_s for pace in paces), default=0.0),
    )


current_display: ContextVar[Display] = ContextVar("display", default=SilentDisplay())  # noqa: B039  it keeps nothing
