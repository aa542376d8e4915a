"""Opening a batch's ledger, wherever it is.

Takes a place, gives an engine whose commits are on disk when they return: a state that guards money must
survive a power cut.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import BatchStopped, OutputError
from tasks.core.safe_text import error_text
from tasks.ledger.database.location import LedgerPlace, PostgresqlSchema, SqliteFile, locate_ledger, require_ledger
from tasks.ledger.database.postgresql_errors import explain_postgresql, is_refused_value
from tasks.ledger.database.sqlite import explain_sqlite, has_room, is_writable, open_sqlite, read_sqlite


@asynccontextmanager
async def open_ledger(
    where: Path | LedgerPlace,
    *,
    create: bool = False,
    alone: bool = False,
    writing: bool = False,
    is_checked: bool = False,
) -> AsyncIterator[AsyncEngine]:
    """The engine of a ledger, for the duration of the block.

    Args:
        where: Its place; or the batch's output folder, whose pointer is followed.
        create: Make the tables where there are none; the output folder exists already.
        alone: Be the only run of the batch. In SQLite the folder's lock sees to that.
        writing: The block writes, so a ledger that may only be read is refused.
        is_checked: The run that this process works for has checked the values of a PostgreSQL ledger.

    Raises:
        OutputError: The block would write, and the ledger may only be read.
        InputError: There is no ledger, it is not one of ours or is damaged, another version wrote it, or another run holds it.
        ConfigError: Its database cannot be used. Nothing was spent.
        BatchStopped: The disk is full, or the database went away and stayed away. It can be resumed.
    """
    place = locate_ledger(where, None) if isinstance(where, Path) else where
    if not create:
        require_ledger(place.out)
    # Such a ledger is read from a private copy, where a write would succeed and be lost.
    if writing and isinstance(place, SqliteFile) and not is_writable(place.path):
        raise OutputError(f"{place.path}: may only be read. Ask its owner, or copy the folder and work on the copy.")
    try:
        async with _open(place, create=create, alone=alone, writing=writing, is_checked=is_checked) as engine:
            yield engine
    except DBAPIError as exc:
        if (explained := _explain_foreign_rule(exc) or explain_failure(exc)) is None:
            raise
        raise explained from exc


async def reach_ledger(place: LedgerPlace) -> None:
    """Learn before anything else is started that its server answers; a file needs none.

    Raises:
        ConfigError: It cannot be reached or refuses. Nothing was spent.
    """
    if isinstance(place, PostgresqlSchema):
        from tasks.ledger.database.postgresql import reach  # noqa: PLC0415  see `_open`

        await reach(place)


def _open(
    place: LedgerPlace, *, create: bool, alone: bool, writing: bool, is_checked: bool
) -> AbstractAsyncContextManager[AsyncEngine]:
    if isinstance(place, SqliteFile):
        # A run needs to write and should fail if it cannot; a look at a batch should not.
        # Whoever only looks needs no room on a full disk, and wants to know what is there.
        writes = create or alone or writing or (is_writable(place.path) and has_room(place.path))
        return open_sqlite(place, create=create) if writes else read_sqlite(place)
    from tasks.ledger.database.postgresql import open_postgresql  # noqa: PLC0415  its driver would slow down every command

    return open_postgresql(place, create=create, alone=alone, is_checked=is_checked)


def _explain_foreign_rule(exc: DBAPIError) -> BatchStopped | None:
    if not isinstance(exc, IntegrityError):
        return None
    # Every change keeps the rules of our own tables, so these are another program's.
    refused = f"the ledger refuses a change ({error_text(exc.orig)}). Restore it from a copy of its folder"
    return BatchStopped("ledger", refused)


def explain_failure(exc: Exception) -> BatchStopped | None:
    """The error that a user can act on, for a database that could not be read or written; None for any other."""
    # One job's value, no fault of the database: the batch goes on.
    if isinstance(exc, DBAPIError) and is_refused_value(exc):
        return None
    # Only asyncpg's errors have a `sqlstate`; its type is not asked, for that would load the driver.
    if isinstance(exc, OSError) or (isinstance(exc, DBAPIError) and hasattr(exc.orig, "sqlstate")):
        return explain_postgresql(exc)
    if type(exc) is DatabaseError:  # "database disk image is malformed" is of no class of its own
        return BatchStopped("ledger", f"the ledger is damaged ({exc.orig}). Restore it from a copy of its folder")
    return explain_sqlite(exc) if isinstance(exc, OperationalError) else None
