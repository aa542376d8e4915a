"""The progress of a running batch on standard error: a live bar, plain lines, or nothing.

The engine only keeps a `Tally`; a display reads it a few times a second. Which display is used is decided by
the command line and found here through `current_display`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.core.clock import repeat_every
from tasks.core.display import ProgressSnapshot, RateMeter, current_display
from tasks.generate.batch import Batch

# Seconds; five times a second reads as movement, and the ledger is not asked for it.
REFRESH_S = 0.2


@asynccontextmanager
async def show_progress(batch: Batch, *, left: int) -> AsyncIterator[None]:
    """Show the batch's tally on the current display for the duration of the block."""
    display, meter, started_s = current_display.get(), RateMeter(), batch.clock.monotonic_s()
    meter.rate_per_s(started_s, 0)

    async def update() -> None:
        now_s = batch.clock.monotonic_s()
        rate_per_s = meter.rate_per_s(now_s, batch.tally.done)
        display.update(build_snapshot(batch, left=left, rate_per_s=rate_per_s), now_s - started_s)

    display.start(left)
    async with repeat_every(update, every_s=REFRESH_S):
        yield


def build_snapshot(batch: Batch, *, left: int, rate_per_s: float) -> ProgressSnapshot:
    """Progress of a running batch, over the jobs that were left when it began."""
    tally, paces = batch.tally, batch.rate_limiters
    # The slowest of them: it is what keeps the batch waiting.
    slowed = [pace.per_min for pace in paces if pace.is_slowed]
    return ProgressSnapshot(
        # Rerolls of a gate come to the jobs that there were.
        total=max(left, tally.done + tally.in_flight),
        done=tally.done,
        failed=tally.failed,
        in_flight=tally.in_flight,
        rate_per_s=rate_per_s,
        cost_micros=tally.cost_micros,
        cost_unknown=tally.cost_unknown,
        draining=batch.stop.requested,
        interrupted=batch.stop.interrupted,
        slowed_to_per_min=min(slowed, default=None),
        silent_jobs=tally.silent.jobs,
        silent_left_s=tally.silent.left_s,
        pause_s=max((pace.pause_s for pace in paces), default=0.0),
    )
