"""Transactions in a thread of their own: a group of changes goes to disk in one piece.

Through the asynchronous driver each statement is a way to the driver's thread and back, and a commit of six statements
is eight of them; here it is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.dml import UpdateBase

from tasks.ledger.database import configure_sqlite

Write = tuple[UpdateBase, Sequence[Mapping[str, Any]]]
"""A statement, and the values of each of its rows."""


class LedgerWriter:
    """Writes to the database of a ledger's engine; one for each journal."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Write where `engine` does; nothing is connected before the first transaction."""
        self.engine = create_engine(engine.url.set(drivername="sqlite"))
        event.listen(self.engine, "connect", configure_sqlite)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def write(self, writes: Sequence[Write]) -> None:
        """One transaction; on disk when this returns.

        Raises:
            sqlalchemy.exc.DBAPIError: Nothing of it was written.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, writes)

    def close(self) -> None:
        """Close the connection; everything that was awaited is on disk."""
        self._thread.shutdown()
        self.engine.dispose()

    def _write(self, writes: Sequence[Write]) -> None:
        with self.engine.begin() as db:
            for statement, rows in writes:
                db.execute(statement, rows)
