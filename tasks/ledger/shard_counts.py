"""Counts of one range's jobs by their end, for the report of its task run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import OPEN_STATES, JobState
from tasks.core.safe_text import error_text
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import fetch_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCounts:
    """Jobs of one range by their end."""

    succeeded: int
    left_open: int
    """Not begun, or in flight, when the batch stopped."""
    errors: Mapping[str, int]
    """Failed and held jobs by error kind."""
    example: str | None
    """Message of one job without an image."""

    def describe(self) -> str:
        """Count images, errors and what is left, such as `48 of 50; 2 x moderation (the prompt was flagged)`."""
        total = self.succeeded + self.left_open + sum(self.errors.values())
        errors = [f"{number} x {kind}" for kind, number in self.errors.items()]
        if errors and self.example:
            errors[-1] += f" ({self.example})"
        left = [f"{self.left_open} left open"] if self.left_open else []
        return "; ".join([f"{self.succeeded} of {total}", *errors, *left])


async def count_shard(
    engine: AsyncEngine, first: int, last: int, *, planned_run: int | None = None, backend: str | None = None
) -> ShardCounts:
    """Count the jobs between two sort keys.

    Args:
        engine: The ledger.
        first: The first sort key.
        last: The last sort key.
        planned_run: Only jobs planned by this run; None: all.
        backend: Only jobs that this backend has or had; None: all.
    """
    mine = jobs.c.position.between(first, last) & jobs.c.withdrawn.is_(False)
    if planned_run is not None:
        mine &= jobs.c.planned_run == planned_run
    if backend is not None:
        # A job that was handed over in this shard has another backend by now.
        mine &= (jobs.c.backend == backend) | (jobs.c.rerouted_from == backend)
    grouped = select(jobs.c.state, jobs.c.error_kind, func.count(), func.max(jobs.c.error_message)).where(mine)
    succeeded, left_open = 0, 0
    example: str | None = None
    errors: Counter[str] = Counter()
    for state, kind, number, message in await fetch_rows(engine, grouped.group_by(jobs.c.state, jobs.c.error_kind)):
        if state == JobState.SUCCEEDED:
            succeeded += number
        elif state in OPEN_STATES:
            left_open += number
        else:
            errors[kind or str(state)] += number
            # One message is enough for the name of a task run.
            example = example or (error_text(message) if message else None)
    return ShardCounts(succeeded=succeeded, left_open=left_open, errors=dict(errors.most_common()), example=example)
