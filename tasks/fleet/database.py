"""Transactions of a fleet's tables: a database that is away stops the batch, resumable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.ledger.database import explain_failure


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction for the duration of the block.

    Raises:
        BatchStopped: The database cannot be used. No money was spent here; nothing of the block was written.
    """
    try:
        async with engine.begin() as db:
            yield db
    except DBAPIError as exc:
        raise explain_failure(exc) or exc from exc
