"""Opening a batch's ledger, wherever it is.

Takes a place, gives an engine whose commits are on disk when they return: a state that guards money must
survive a power cut.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.errors import BatchStopped
from tasks.ledger.place import LedgerPlace, SqliteFile, place_for, require_ledger
from tasks.ledger.postgresql import explain_postgresql, open_postgresql
from tasks.ledger.sqlite import explain_sqlite, open_sqlite


@asynccontextmanager
async def open_ledger(
    where: Path | LedgerPlace, *, create: bool = False, alone: bool = False
) -> AsyncIterator[AsyncEngine]:
    """The engine of a ledger, for the duration of the block.

    Args:
        where: Its place; or the batch's output folder, whose pointer is followed.
        create: Make the tables where there are none; the output folder exists already.
        alone: Be the only run of the batch. In SQLite the folder's lock sees to that.

    Raises:
        InputError: There is no ledger, it is not one of ours, another version wrote it, or another run holds it.
        ConfigError: Its database cannot be used. Nothing was spent.
        BatchStopped: The disk is full, or the database went away and stayed away. It can be resumed.
    """
    place = place_for(where, None) if isinstance(where, Path) else where
    if not create:
        require_ledger(place.out)
    opened = open_sqlite(place) if isinstance(place, SqliteFile) else open_postgresql(place, create=create, alone=alone)
    try:
        async with opened as engine:
            yield engine
    except DBAPIError as exc:
        if (explained := explain_failure(exc)) is None:
            raise
        raise explained from exc


def explain_failure(exc: Exception) -> BatchStopped | None:
    """The error that a user can act on, for a database that could not be read or written; None for any other."""
    if isinstance(exc, OSError) or (isinstance(exc, DBAPIError) and hasattr(exc.orig, "sqlstate")):
        return explain_postgresql(exc)
    return explain_sqlite(exc) if isinstance(exc, OperationalError) else None
