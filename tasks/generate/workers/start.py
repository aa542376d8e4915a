"""Start of a run with workers: create the shared tables and fill them from the ledger."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Update, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.generate.workers.schema import ONLY_ROW, fleet, metadata, news, reservations
from tasks.ledger.database.schema import attempts, runs
from tasks.ledger.database.transactions import run_transaction


async def begin_fleet(engine: AsyncEngine, *, run: int) -> None:
    """Make this run the batch's present one; living workers of an earlier run stop when they read it.

    Raises:
        BatchStopped: The database cannot be used.
    """

    async def begin(db: AsyncConnection) -> None:
        await db.run_sync(metadata.create_all)
        await db.execute(delete(news))
        fresh = {
            "run": run,
            "cap_micros": select(runs.c.budget_micros).where(runs.c.number == run).scalar_subquery(),
            "recent": "",
            "succeeded": 0,
            "failed": 0,
            "cost_micros": 0,
            "cost_unknown": 0,
            "stop_reason": None,
            "stop_message": None,
        }
        # One row, replaced: a living worker of the earlier run finds another number and stops.
        row = insert(fleet).values(id=ONLY_ROW, **fresh)
        await db.execute(row.on_conflict_do_update(index_elements=[fleet.c.id], set_=fresh))
        await db.execute(_count_money())

    await run_transaction(engine, begin)


async def recount_money(engine: AsyncEngine) -> None:
    """Bring the workers' sum up to date while none of them works: the run itself has asked judges.

    Raises:
        BatchStopped: The database cannot be used.
    """
    await run_transaction(engine, lambda db: db.execute(_count_money()))


def _count_money() -> Update:
    """Sum the cost of attempts, and reservations beyond it for attempts whose intent is being written."""
    of_attempts = select(func.coalesce(func.sum(_get_cost()), 0)).scalar_subquery()
    return update(fleet).values(committed_micros=of_attempts + select_reserved_beyond_attempts())


def select_reserved_beyond_attempts() -> ScalarSelect[int]:
    """Sum the reserved money that the ledger does not count for its attempt, in millionths of a dollar."""
    return select(
        func.coalesce(func.sum(reservations.c.micros - select_counted_for_reservation()), 0)
    ).scalar_subquery()


def select_counted_for_reservation() -> ColumnElement[Any]:
    """Select the ledger's amount for a reservation's attempt: its cost, else its reservation, else 0."""
    mine = (attempts.c.job_id == reservations.c.job_id) & (attempts.c.number == reservations.c.number)
    counted = select(_get_cost()).where(mine).correlate(reservations).scalar_subquery()
    return func.coalesce(counted, 0)


def _get_cost() -> ColumnElement[Any]:
    return func.coalesce(attempts.c.cost_micros, attempts.c.reserved_micros, 0)
