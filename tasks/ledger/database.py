"""Opening a batch's ledger: SQLite in the output folder.

Takes a folder, gives an engine whose commits are on disk when they return: a state that guards money must
survive a power cut.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tasks.errors import BatchStopped, InputError
from tasks.ledger.schema import SCHEMA_VERSION, metadata
from tasks.paths import LEDGER_NAME, ledger_path

FULL_DISK_HINT = "free some space and run `imagen resume` on it; nothing is paid twice"


def require_ledger(out: Path) -> None:
    """Pass when the folder holds a batch.

    Raises:
        InputError: It does not, or does not exist.
    """
    if not ledger_path(out).is_file():
        raise InputError(f"{out}: is not the output folder of a batch (it has no {LEDGER_NAME})")


@asynccontextmanager
async def open_ledger(out: Path, *, create: bool = False) -> AsyncIterator[AsyncEngine]:
    """The engine of the folder's ledger, for the duration of the block.

    Args:
        out: The output folder; it exists already.
        create: Make the tables where there are none.

    Raises:
        InputError: There is no ledger, it is not one of ours, or another version wrote it.
        BatchStopped: The disk is full.
    """
    path = ledger_path(out)
    if not create:
        require_ledger(out)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    event.listen(engine.sync_engine, "connect", configure_sqlite)
    try:
        await _prepare(engine, path)
        yield engine
    except OperationalError as exc:
        raise explain_failure(exc) from exc
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
            version = (await db.execute(text("PRAGMA user_version"))).scalar_one()
            if version not in (0, SCHEMA_VERSION):
                raise InputError(f"{path}: was written by another version of imagen (ledger version {version})")
            if version == 0:
                await db.run_sync(metadata.create_all)
                await db.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
    except OperationalError:
        raise
    except DatabaseError:
        raise InputError(f"{path}: is not a ledger of imagen; choose another output folder") from None


def explain_failure(exc: OperationalError) -> BatchStopped:
    """The error that a user can act on, for a database that could not be read or written."""
    reason = str(exc.orig)
    if "full" in reason or "disk I/O" in reason:
        return BatchStopped("disk", f"the ledger cannot be written, the disk is full ({reason}); {FULL_DISK_HINT}")
    return BatchStopped("disk", f"the ledger cannot be used ({reason}); mend that and resume")
