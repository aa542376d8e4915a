"""Reading, and what is harmless to do twice: repeated while a ledger's server is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Executable, RowMapping, UpdateBase
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.core.retry import retry_database
from tasks.ledger.database.connect import explain_failure
from tasks.ledger.database.postgresql_errors import is_away

T = TypeVar("T")


async def run_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `work` in one transaction of its own and return its result; it must be harmless to do twice.

    Raises:
        BatchStopped: The disk is full, or the server stayed away or refuses.
    """

    async def once() -> T:
        async with engine.begin() as db:
            return await work(db)

    try:
        # SQLite waits for its lock by itself (`busy_timeout`), and a full disk does not pass by waiting.
        return await (once() if engine.dialect.name == "sqlite" else retry_database(is_away)(once))
    except (DBAPIError, OSError) as exc:  # asyncpg's time-outs and broken connections come as they are
        if (explained := explain_failure(exc)) is None:
            raise
        raise explained from exc


async def fetch_rows(engine: AsyncEngine, query: Executable) -> Sequence[Any]:
    """All rows that the query finds."""

    async def read(db: AsyncConnection) -> Sequence[Any]:
        return (await db.execute(query)).all()

    return await run_transaction(engine, read)


async def fetch_mappings(engine: AsyncEngine, query: Executable) -> Sequence[RowMapping]:
    """All rows that the query finds, by the names of their columns."""

    async def read(db: AsyncConnection) -> Sequence[RowMapping]:
        return (await db.execute(query)).mappings().all()

    return await run_transaction(engine, read)


async def execute(engine: AsyncEngine, statement: UpdateBase, rows: Sequence[Mapping[str, Any]] | None = None) -> int:
    """Change what is harmless to change twice, once for each of `rows`; gives how many rows of the table there were."""

    async def write(db: AsyncConnection) -> int:
        done: CursorResult[Any] = await db.execute(statement, rows)
        return done.rowcount

    return await run_transaction(engine, write)
