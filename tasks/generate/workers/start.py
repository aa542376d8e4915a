"""The beginning of a fleet's run: its tables are there, and say what the ledger says."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Update, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.generate.workers.schema import ONLY_ROW, fleet, metadata, rates, reservations
from tasks.ledger.database.schema import attempts, runs
from tasks.ledger.database.transactions import run_transaction


async def begin_fleet(engine: AsyncEngine, *, run: int) -> None:
    """Make this run the batch's present one: workers of an earlier run that still live stop when they hear of it.

    Args:
        engine: The ledger, on PostgreSQL.
        run: The run's number.

    Raises:
        BatchStopped: The database cannot be used.
    """

    async def begin(db: AsyncConnection) -> None:
        await db.run_sync(metadata.create_all)
        await db.execute(delete(rates))
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
        row = insert(fleet).values(id=ONLY_ROW, **fresh)
        await db.execute(row.on_conflict_do_update(index_elements=[fleet.c.id], set_=fresh))
        await db.execute(_count_money())

    await run_transaction(engine, begin)


def _count_money() -> Update:
    """What attempts cost or may cost, and what is set aside beyond that for attempts whose intent is on its way."""
    of_attempts = select(func.coalesce(func.sum(_get_cost()), 0)).scalar_subquery()
    return update(fleet).values(committed_micros=of_attempts + select_reserved_beyond_attempts())


def select_reserved_beyond_attempts() -> ScalarSelect[int]:
    """By how much the reservations exceed what the ledger counts for their attempts, millionths of a dollar."""
    return select(
        func.coalesce(func.sum(reservations.c.micros - select_counted_for_reservation()), 0)
    ).scalar_subquery()


def select_counted_for_reservation() -> ColumnElement[Any]:
    """What the ledger counts for a reservation's attempt: its cost, else its own reservation, else nothing."""
    mine = (attempts.c.job_id == reservations.c.job_id) & (attempts.c.number == reservations.c.number)
    counted = select(_get_cost()).where(mine).correlate(reservations).scalar_subquery()
    return func.coalesce(counted, 0)


def _get_cost() -> ColumnElement[Any]:
    return func.coalesce(attempts.c.cost_micros, attempts.c.reserved_micros, 0)
