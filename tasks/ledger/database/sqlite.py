"""A ledger in the output folder: a SQLite file whose commits are on disk when they return."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tasks.core.errors import BatchStopped, InputError
from tasks.ledger.database.location import SqliteFile
from tasks.ledger.database.migrations import bring_up_to_date, read_version, require_known
from tasks.ledger.database.schema import SCHEMA_VERSION

FULL_DISK_HINT = "free some space and run `imagen resume` on it; nothing is paid twice"


@asynccontextmanager
async def open_sqlite(place: SqliteFile) -> AsyncIterator[AsyncEngine]:
    """The file's engine for the duration of the block, its tables up to date.

    Raises:
        InputError: It is not a ledger of ours, or another version wrote it.
    """
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=str(place.path)))
    event.listen(engine.sync_engine, "connect", configure_sqlite)
    try:
        await _prepare(engine, place.path)
        yield engine
    finally:
        await engine.dispose()


def configure_sqlite(connection: Any, _record: Any) -> None:
    """Set up a new connection: what is committed survives a power cut, and a reader does not wait for the writer."""
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000", "cache_size = -16384"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def _prepare(engine: AsyncEngine, path: Path) -> None:
    try:
        async with engine.begin() as db:
            version = await db.run_sync(read_version)
            require_known(version, path)
            if version != SCHEMA_VERSION:
                await db.execute(text("BEGIN IMMEDIATE"))  # whoever comes at the same time waits, and finds it done
                await db.run_sync(bring_up_to_date)
    except OperationalError:
        raise
    except DatabaseError:
        raise InputError(f"{path}: is not a ledger of imagen; choose another output folder") from None


def explain_sqlite(exc: OperationalError) -> BatchStopped:
    """The error that a user can act on, for a file that could not be read or written."""
    reason = str(exc.orig)
    if "full" in reason or "disk I/O" in reason:
        return BatchStopped("disk", f"the ledger cannot be written, the disk is full ({reason}); {FULL_DISK_HINT}")
    return BatchStopped("disk", f"the ledger cannot be used ({reason}); mend that and resume")
