"""A run's reuse: images of other batches come in before anything is sent, and the user is told what they save."""

from __future__ import annotations

from tasks.core.display import current_display
from tasks.core.money import format_micros
from tasks.core.text import format_count
from tasks.generate.batch import Batch
from tasks.ledger.open_jobs import Selection, bound_selection
from tasks.reuse.finder import open_finder
from tasks.reuse.options import build_reuse_options
from tasks.reuse.take_over import Reused, TakeOver


async def reuse_images(batch: Batch, selection: Selection) -> Selection:
    """Take over what other batches have made of the selected jobs.

    Returns:
        The selection for what is left: a limit means the jobs that it meant before.

    Raises:
        BatchStopped: An image or the ledger cannot be written. What was taken stays, and a resume goes on.
    """
    options = build_reuse_options(batch.settings, None, any_salt=False)
    if not options.patterns:
        return selection
    display = current_display.get()
    display.phase("looking for images to reuse")
    # Bound first: with fewer open jobs, a limit would reach further and pay for more.
    bound = await bound_selection(batch.engine, selection)
    async with open_finder(options, batch.out) as finder:
        work = TakeOver(finder, batch.engine, batch.out, settings=batch.settings.output, clock=batch.clock)
        async for taken in work.take_pages(bound):
            display.phase(f"reusing images ({taken:,})")
            # After a page, so that Ctrl-C leaves no image without its row.
            if batch.stop.requested:
                break
        for line in (*finder.list_problems(), *work.reused.list_warnings()):
            display.warn(line)
    if work.reused.jobs:
        display.note(_describe(batch, work.reused))
    return bound


def _describe(batch: Batch, reused: Reused) -> str:
    prices = [batch.backend(it.job.backend).estimate(it.job).cost_micros for it in reused.jobs]
    saved = sum(price or 0 for price in prices)
    batches = format_count(len(reused.sources), "other batch").replace("batchs", "batches")
    saves = f", which saves about {format_micros(saved)}" if saved else ""
    return f"{format_count(len(prices), 'image')} reused from {batches} for nothing{saves}"
