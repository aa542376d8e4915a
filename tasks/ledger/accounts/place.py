"""Opening the tables that all batches of an account share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, delete, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateSchema

from tasks.core.database import read_now_us
from tasks.core.errors import BatchStopped
from tasks.core.paths import get_state_folder
from tasks.core.safe_text import database_error_text
from tasks.ledger.accounts.caps.schema import SETTLED, charges
from tasks.ledger.accounts.pace.schema import pauses
from tasks.ledger.accounts.predictions import SCHEMA, RegistryPlace, metadata, predictions
from tasks.ledger.accounts.registry import PredictionRegistry
from tasks.ledger.database.writer import LedgerWriter, PostgresqlWriter, SqliteWriter

FILE_NAME = "accounts.db"
KEPT_US = 7 * 24 * 3_600 * 1_000_000
"""Services forget a prediction within days, and a batch's own ledger keeps its ids for ever."""
KEPT_ROWS = 100_000
"""So many rows of a state folder stay whatever their age: some 50 MB."""


@asynccontextmanager
async def open_registry(engine: AsyncEngine, batch: str) -> AsyncIterator[PredictionRegistry]:
    """The registry of prediction ids for a batch, during the block.

    Args:
        engine: The batch's ledger.
        batch: Its `tasks.ledger.runs.get_batch_identity`.

    Returns:
        A registry. Where a place of it cannot be used, its `problem` says why and that place knows nothing.
    """
    async with AsyncExitStack() as stack:
        # Every batch of this machine is in the state folder: two of one account may have ledgers of different kinds.
        places = [await stack.enter_async_context(_open_place(open_state_folder, batch))]
        if engine.dialect.name != "sqlite":
            places.append(await stack.enter_async_context(_open_place(partial(_open_server, engine), batch)))
        yield PredictionRegistry(places, batch)


@asynccontextmanager
async def _open_place(open_writer: Callable[[], Awaitable[LedgerWriter]], batch: str) -> AsyncIterator[RegistryPlace]:
    writer, problem = None, None
    try:
        writer = await open_writer()
        await writer.write(prepare_tables)
    # No reason to stop: within one batch its own ledger is enough, and the user is warned.
    except (DBAPIError, OSError, BatchStopped) as exc:
        problem = database_error_text(exc)
    place = RegistryPlace(None if problem else writer, batch, problem)
    try:
        yield place
    finally:
        await place.close()
        if writer is not None:
            await writer.close()


async def _open_server(engine: AsyncEngine) -> LedgerWriter:
    return PostgresqlWriter(engine)


async def open_state_folder(*, is_durable: bool = False) -> LedgerWriter:
    """Writes to the registry of this machine's user; `prepare_tables` comes first.

    Args:
        is_durable: What is committed survives a power cut too.

    Raises:
        OSError: The state folder cannot be used.
    """
    return build_sqlite_writer(await asyncio.to_thread(_make_file, get_accounts_file()), is_durable=is_durable)


def build_sqlite_writer(path: Path, *, is_durable: bool = False) -> SqliteWriter:
    """Writes to a file of these tables."""
    return SqliteWriter(
        URL.create("sqlite", database=str(path)),
        configure=partial(_configure, is_durable=is_durable),
        options={"schema_translate_map": {SCHEMA: None}},  # SQLite has no schemas
    )


def get_accounts_file() -> Path:
    """The file of these tables in the state folder; it need not exist."""
    return get_state_folder() / FILE_NAME


def name_place(writer: LedgerWriter) -> str:
    """The place that a writer writes to, for messages."""
    return "the database that counts" if isinstance(writer, PostgresqlWriter) else str(get_accounts_file())


def _make_file(path: Path) -> Path:
    """The file's path; it is the user's alone, for it says which accounts are used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return path


def _configure(connection: Any, _record: Any, *, is_durable: bool) -> None:
    """Set up a connection. Every commit survives the end of any process; an fsync for each is for money alone."""
    cursor = connection.cursor()
    synchronous = "FULL" if is_durable else "NORMAL"
    for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}", "busy_timeout = 30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def prepare_tables(db: Connection) -> None:
    """Make the tables where there are none, and forget what no service lists any more."""
    if db.dialect.name == "sqlite":
        db.execute(text("BEGIN IMMEDIATE"))
    # Asked first, because a role without CREATE may still use tables that another one made. The newest of them is asked for.
    elif db.execute(text(f"SELECT to_regclass('{SCHEMA}.{pauses.name}')")).scalar() is None:
        # IF NOT EXISTS fails in PostgreSQL when two sessions create at once.
        db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))"), {"name": SCHEMA})
        db.execute(CreateSchema(SCHEMA, if_not_exists=True))
    metadata.create_all(db)
    _forget_old(db)


def _forget_old(db: Connection) -> None:
    oldest_us = read_now_us(db, time.time_ns() // 1_000) - KEPT_US
    # Their sums stay. Those whose cost is not known may yet be settled by a later run of their batch.
    settled = (charges.c.state == SETTLED) & (charges.c.at_us < oldest_us)
    for table, is_old in ((predictions, predictions.c.claimed_at_us < oldest_us), (charges, settled)):
        forget = delete(table).where(is_old)
        if db.dialect.name == "sqlite":
            # By this machine's clock alone, one that is a month ahead for a run would forget what is in flight now, and
            # two attempts could take one prediction. Rows are numbered as they come, whatever the clock says.
            forget = forget.where(text(f"rowid <= (SELECT max(rowid) FROM {table.name}) - {KEPT_ROWS}"))  # noqa: S608  our own names
        db.execute(forget)
