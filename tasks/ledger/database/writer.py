"""Transactions of the journal: a group of changes goes to disk in one piece.

In SQLite they have a thread of their own: through the asynchronous driver each statement is a way to the driver's
thread and back, and a commit of six statements is eight of them; there it is one. PostgreSQL's driver needs no
thread, and its server may be away for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.retry import retry_database
from tasks.ledger.database.postgresql_errors import is_away
from tasks.ledger.database.sqlite import configure_sqlite

Result = TypeVar("Result")
Transaction = Callable[[Connection], Result]
"""Work of one transaction, such as `tasks.ledger.changes.apply_changes`."""


class LedgerWriter(Protocol):
    """Writes to the database of an engine, one transaction at a time."""

    async def write(self, transaction: Transaction[Result]) -> Result:
        """Run one transaction and return its result; on disk on return.

        Raises:
            sqlalchemy.exc.DBAPIError: Nothing of it was written.
            BatchStopped: The server stayed away.
        """

    async def close(self) -> None:
        """Release connections; everything that was awaited is on disk."""


def make_writer(engine: AsyncEngine) -> LedgerWriter:
    """The writer for a ledger's engine; it connects with its first transaction."""
    return SqliteWriter(engine.url) if engine.dialect.name == "sqlite" else PostgresqlWriter(engine)


class SqliteWriter:
    """In a thread, over a connection of its own."""

    def __init__(
        self, database: URL, *, configure: Callable[[Any, Any], None] = configure_sqlite, options: Any = None
    ) -> None:
        """Write to a file."""
        self.engine = create_engine(
            database.set(drivername="sqlite"),
            # Closed by another thread than the one that writes, once that has ended.
            connect_args={"check_same_thread": False},
            execution_options=options or {},
        )
        event.listen(self.engine, "connect", configure)
        # One thread, because SQLite takes one writer, and the groups' order is that of the commits.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def write(self, transaction: Transaction[Result]) -> Result:
        """See `LedgerWriter.write`."""
        try:
            # Nearly always the only try, and the machinery for others takes as long as a small commit.
            return await self._write_in_thread(transaction)
        except OperationalError as exc:
            if not _is_locked(exc):
                raise
        # Another program may hold the file longer than SQLite itself waits: a backup, a browser of databases.
        return await retry_database(_is_locked)(self._write_in_thread, transaction)

    async def _write_in_thread(self, transaction: Transaction[Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, transaction)

    async def close(self) -> None:
        """See `LedgerWriter.close`."""
        self._thread.shutdown()  # waits for the commit that is being written
        self.engine.dispose()

    def _write(self, transaction: Transaction[Result]) -> Result:
        with self.engine.begin() as db:
            return transaction(db)


def _is_locked(exc: BaseException) -> bool:
    return isinstance(exc, OperationalError) and "locked" in str(exc.orig)


class PostgresqlWriter:
    """Through the ledger's own engine; repeated while the server is away, which is harmless for what is written."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Write where `engine` does."""
        self.engine = engine

    async def write(self, transaction: Transaction[Result]) -> Result:
        """See `LedgerWriter.write`."""
        return await retry_database(is_away)(self._write, transaction)

    async def close(self) -> None:
        """See `LedgerWriter.close`."""

    async def _write(self, transaction: Transaction[Result]) -> Result:
        async with self.engine.begin() as db:
            return await db.run_sync(transaction)
