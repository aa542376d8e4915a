"""`imagen status --watch`: a run of another process, seen through its ledger, until it ends.

What only the run itself knows, as a provider that slows it down, is not in the ledger and not shown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.display import Display, ProgressSnapshot, RateMeter
from tasks.core.paths import has_ledger
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lock import is_alive, is_locked
from tasks.ledger.start_notice import is_starting
from tasks.report.summary import Summary, summarise
from tasks.store.output import Output

LOOK_EVERY_S = 1.0
MOST_START_S = 60.0
"""The longest time that a run takes from its lock to its ledger, on a busy disk."""
GRACE_S = 5.0
"""The longest time that a run takes to lock its folder, when it was started in the same breath."""


async def wait_for_start(out: Output, display: Display, clock: Clock) -> None:
    """Return when the folder holds a ledger, or when no run is about to write one.

    A run reads its manifest, locks its folder and then makes the ledger: whoever looks in between would be told that
    the folder is no batch.
    """

    async def is_there() -> bool:
        return has_ledger(out.home)

    await _wait_until(is_there, out, display, clock)


async def wait_for_run(engine: AsyncEngine, out: Output, display: Display, clock: Clock) -> None:
    """Return when a run holds the batch, or when none is about to.

    A batch has the ledger of earlier runs, so it does not show that the next one still reads its manifest.
    """
    await _wait_until(partial(is_alive, engine, out.home), out, display, clock)


async def _wait_until(has_come: Callable[[], Awaitable[bool]], out: Output, display: Display, clock: Clock) -> None:
    last_sign_s, is_told = clock.monotonic_s(), False
    while not await has_come():
        # A manifest may be long, so a run that reads one is waited for as long as it takes.
        if is_starting(out.address):
            last_sign_s = clock.monotonic_s()
        most_s = MOST_START_S if is_locked(out.home) else GRACE_S
        if clock.monotonic_s() - last_sign_s >= most_s:
            return
        if not is_told:
            display.phase("waiting for a run to start here")
            is_told = True
        await clock.sleep(LOOK_EVERY_S)


async def watch_summaries(engine: AsyncEngine, out: Output, clock: Clock) -> AsyncGenerator[Summary]:
    """The batch's summary about once a second while a run is alive; the last one is of no living run."""
    while True:
        summary = await summarise(engine, out, now_us=clock.now_us())
        yield summary
        if not summary.alive:
            return
        await clock.sleep(LOOK_EVERY_S)


async def watch_run(out: Output, display: Display, *, clock: Clock | None = None) -> tuple[Summary, bool]:
    """Show a living run until it ends.

    Returns:
        The summary after it, and whether a run was alive at all; where none is, after a moment in which one may start.

    Raises:
        InputError: The folder is no batch.
    """
    meter, started_s = RateMeter(), None
    clock = clock or Clock()
    await wait_for_start(out, display, clock)
    async with open_ledger(out.ledger_folder()) as engine:
        await wait_for_run(engine, out, display, clock)
        async for summary in watch_summaries(engine, out, clock):
            now_s = clock.monotonic_s()
            if started_s is None and summary.alive:
                started_s = now_s
                display.start(summary.counts.total)
            if started_s is not None:
                display.update(_build_snapshot(summary, meter, now_s), now_s - started_s)
    display.finish()
    return summary, started_s is not None


def _build_snapshot(summary: Summary, meter: RateMeter, now_s: float) -> ProgressSnapshot:
    counts = summary.counts
    done = counts.succeeded + counts.failed + counts.held
    return ProgressSnapshot(
        total=counts.total,
        done=done,
        failed=counts.failed + counts.held,
        in_flight=counts.submitting + counts.submitted,
        rate_per_s=meter.rate_per_s(now_s, done),
        cost_micros=counts.cost_micros,
        cost_unknown=counts.cost_unknown,
    )
