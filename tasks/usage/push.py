"""From the ledger to the sink: what is pending is pushed, and marked only when the sink has it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.clock import Clock
from tasks.errors import UsageError
from tasks.ledger.queries import count_usage, mark_pushed, usage_pages
from tasks.settings import UsageSettings
from tasks.usage.rows import usage_row
from tasks.usage.sinks import open_sink

ROWS_PER_PUSH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """How the usage rows of a batch stand after a push."""

    pushed: int
    """Rows of the whole batch that are in the sink."""
    pending: int
    warning: str | None = None
    """Why rows are pending, in words for a user."""


async def push_usage(engine: AsyncEngine, settings: UsageSettings, *, caller: str, clock: Clock) -> PushReport:
    """Push what is pending. A sink that fails never fails the batch: the rows stay pending.

    Killed at any moment and repeated, it adds no row twice and loses none: rows are marked after the sink
    has them, and their ids say which they are.
    """
    warning = None
    try:
        async with open_sink(settings) as sink:
            if sink is not None:
                async for page in usage_pages(engine, ROWS_PER_PUSH):
                    await sink.push([usage_row(attempt, caller) for attempt in page])
                    keys = [(attempt["job_id"], attempt["number"]) for attempt in page]
                    await mark_pushed(engine, keys, now_us=clock.now_us())
    except UsageError as exc:
        warning = f"{exc}; the rows stay pending and are pushed by the next `imagen resume`"
    pushed, pending = await count_usage(engine)
    return PushReport(pushed=pushed, pending=pending, warning=warning)
