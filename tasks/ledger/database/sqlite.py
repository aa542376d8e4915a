"""A ledger in the output folder: a SQLite file whose commits are on disk when they return."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tasks.core.errors import BatchStopped, InputError
from tasks.core.safe_text import error_text, os_error_text
from tasks.core.temporary_folder import TemporaryFolder
from tasks.ledger.database.location import SqliteFile
from tasks.ledger.database.migrations import bring_up_to_date, read_version, require_known
from tasks.ledger.database.schema import SCHEMA_VERSION
from tasks.ledger.database.soundness import check_soundness, prepare_connection

_TABLES = "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'trigger')"
DRIVER = "sqlite+aiosqlite"
INDEX_BYTES = 64 * 1024
"""Of the index of a log, which has 32 KiB at first."""
FULL_DISK_HINT = (
    "free some space, then run the command again, or `imagen resume` if it was a run; nothing is paid twice"
)


@asynccontextmanager
async def open_sqlite(place: SqliteFile, *, create: bool = False) -> AsyncIterator[AsyncEngine]:
    """The file's engine for the duration of the block, its tables up to date and its values sound.

    Raises:
        InputError: It is not a ledger of ours, it is damaged, or another version wrote it.
    """
    _look_first(place.path, create=create)
    # Through `URL.create`: a folder's name may hold `?` or `#`.
    engine = create_async_engine(URL.create(DRIVER, database=str(place.path)))
    event.listen(engine.sync_engine, "connect", configure_sqlite)
    try:
        await _prepare(engine, place.path, create=create)
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def read_sqlite(place: SqliteFile) -> AsyncIterator[AsyncEngine]:
    """The engine of a ledger that may only be read: another user's batch, a snapshot, a read-only mount, a full disk.

    SQLite cannot open such a file as usual, because readers of a write-ahead log write beside it. A file without a log
    is read in place. One with a log, or of an older version, is read from a private copy.

    Raises:
        InputError: It is not a ledger of ours, it is damaged, another version wrote it, or this user may not read it.
    """
    with ExitStack() as stack:
        try:
            # Read from the head of the file, because SQLite would write beside it to answer.
            if _read_version(place.path) == SCHEMA_VERSION and not _has_log(place.path):
                url = URL.create(
                    # `immutable` ignores a log, and with it the newest commits: only where there is none.
                    DRIVER,
                    database=place.path.absolute().as_uri(),
                    query={"immutable": "1", "uri": "true"},
                )
            else:
                folder = stack.enter_context(TemporaryFolder())
                url = URL.create(DRIVER, database=str(_copy(place.path, Path(folder))))
        except OSError as exc:
            raise InputError(f"{place.path}: cannot be read ({os_error_text(exc)})") from None
        engine = create_async_engine(url)
        event.listen(engine.sync_engine, "connect", lambda connection, _record: prepare_connection(connection))
        try:
            await _prepare(engine, place.path, create=False)
            yield engine
        finally:
            await engine.dispose()


def is_writable(path: Path) -> bool:
    """True where SQLite can open the file as usual: it writes beside it even to read."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)  # the log is a file of its own in the folder


def has_room(path: Path) -> bool:
    """True where SQLite can make the files beside this one that it reads with."""
    try:
        return shutil.disk_usage(path.parent).free >= INDEX_BYTES
    except OSError:
        return True  # the opening tells what is wrong


def _read_version(path: Path) -> int:
    """The number that `PRAGMA user_version` gives, from the head of the file (sqlite.org/fileformat.html, 1.3)."""
    with path.open("rb") as file:
        file.seek(60)
        return int.from_bytes(file.read(4), "big")


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _copy(path: Path, folder: Path) -> Path:
    # Not `-shm`: SQLite makes that one anew, and a copy may not fit the log.
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, folder / source.name)
    return folder / path.name


def configure_sqlite(connection: Any, _record: Any) -> None:
    """Set up a new connection: what is committed survives a power cut, and a reader does not wait for the writer."""
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000", "cache_size = -16384"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    prepare_connection(connection)


async def _prepare(engine: AsyncEngine, path: Path, *, create: bool) -> None:
    """Make or migrate the tables, and check what they hold."""
    try:
        async with engine.begin() as db:
            version = await db.run_sync(read_version)
            found = {str(name): str(kind) for name, kind in await db.execute(text(_TABLES))}
            _require_ours(version, found, path, create=create)
            if version != SCHEMA_VERSION:
                await db.execute(text("BEGIN IMMEDIATE"))  # whoever comes at the same time waits, and finds it done
                await db.run_sync(bring_up_to_date)
            await db.run_sync(check_soundness, path)
    except OperationalError as exc:
        # A migration meets the tables of a program that counts its versions as we do.
        if "no such" in str(exc.orig) or "duplicate column" in str(exc.orig):
            raise InputError(f"{path}: is not a ledger of imagen, or is damaged ({exc.orig})") from None
        raise
    except DatabaseError as exc:
        raise _explain_damage(path, exc.orig) from None
    except UnicodeDecodeError as exc:  # SQLite quotes what it cannot read, and its words are no text then
        raise _explain_damage(path, f"malformed text: {exc.reason}") from None


def _look_first(path: Path, *, create: bool) -> None:
    """Look into the file without a change: opening it as a ledger sets its journal, also in another program's database."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            [(version,)] = db.execute("PRAGMA user_version").fetchall()
            _require_ours(version, dict(db.execute(_TABLES).fetchall()), path, create=create)
    except sqlite3.OperationalError:
        return  # away, locked or full: the opening tells it
    except sqlite3.DatabaseError as exc:
        raise _explain_damage(path, exc) from None
    except UnicodeDecodeError as exc:
        raise _explain_damage(path, f"malformed text: {exc.reason}") from None


def _require_ours(version: int, found: Mapping[str, str], path: Path, *, create: bool) -> None:
    """Check whose database it is, by its tables and triggers.

    Raises:
        InputError: It is another program's, was changed by one, or is empty where a batch is to be read.
    """
    require_known(version, path)
    tables = {name for name, kind in found.items() if kind == "table"}
    if not tables and not create:
        raise InputError(f"{path}: holds no batch (it is empty). Restore it from a copy, or run its manifest again")
    if tables and (version == 0 or not tables >= {"jobs", "attempts", "runs"}):
        raise InputError(f"{path}: is a database of another program; choose another output folder")
    # It runs with each change of ours: a job that was paid for could be set back to a planned one.
    if triggers := found.keys() - tables:
        raise InputError(
            f"{path}: the ledger is damaged: another program put the trigger {error_text(min(triggers))} into it. "
            "Restore it from a copy of its folder"
        )


def _explain_damage(path: Path, exc: object) -> InputError:
    if "malformed" in str(exc):
        return InputError(f"{path}: the ledger is damaged ({exc}). Restore it from a copy of its folder")
    return InputError(
        f"{path}: is not a ledger of imagen, or is damaged or encrypted ({exc}); choose another output folder"
    )


def explain_sqlite(exc: OperationalError) -> BatchStopped:
    """The error that a user can act on, for a file that could not be read or written."""
    reason = error_text(exc.orig, most_chars=300)
    if "full" in reason or "disk I/O" in reason:
        return BatchStopped("disk", f"the ledger cannot be written, the disk is full ({reason}); {FULL_DISK_HINT}")
    if "locked" in reason:
        return BatchStopped(
            "ledger",
            f"Another program holds ledger.db ({reason}). Close it there, then run the same command again.",
        )
    return BatchStopped(
        "disk",
        f"Cannot use ledger.db ({reason}). Free disk space or check permissions, then run the same command again.",
    )
