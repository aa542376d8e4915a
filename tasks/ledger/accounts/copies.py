"""Copies of a batch: a folder that was copied is a batch of its own, with predictions of its own.

Both ledgers hold one identity and the same attempts, so each would take the other's predictions for its own. The state
folder knows where a batch was last seen: while it is still there, the other one is the copy and gets a new identity.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.database import build_insert
from tasks.core.display import current_display
from tasks.core.errors import BatchStopped
from tasks.ledger.accounts.place import open_state_folder, prepare_tables
from tasks.ledger.accounts.predictions import batches
from tasks.ledger.database.schema import batch_identity
from tasks.ledger.database.transactions import execute
from tasks.ledger.runs import get_batch_identity


async def settle_identity(engine: AsyncEngine) -> str:
    """The batch's identity; a new one where its ledger is a copy of one that is still there.

    The caller holds the batch's lock. A ledger on a server cannot be copied with its folder.
    """
    batch, file = await get_batch_identity(engine), engine.url.database
    if engine.dialect.name != "sqlite" or not file:
        return batch
    path = await asyncio.to_thread(Path(file).resolve)
    try:
        original = await _register(batch, path)
        if original is None:
            return batch
        copy = secrets.token_hex(16)
        await execute(engine, update(batch_identity).values(batch=copy))
        await _register(copy, path)
    except (DBAPIError, OSError, BatchStopped):
        # Without a state folder nobody knows; the registry says so where it matters.
        return batch
    current_display.get().alert(
        f"{path.parent} and {original.parent} are copies of one batch; from now on this one is a batch of its own. Jobs "
        "that are open in both are made and paid for in each"
    )
    return copy


async def _register(batch: str, path: Path) -> Path | None:
    """Note where the batch is; where it is somewhere else too, that ledger, and nothing is noted."""
    writer = await open_state_folder()
    try:
        await writer.write(prepare_tables)
        return await writer.write(partial(_note_place, batch=batch, path=path))
    finally:
        await writer.close()


def _note_place(db: Connection, *, batch: str, path: Path) -> Path | None:
    known = db.execute(select(batches.c.path).where(batches.c.batch == batch)).scalar()
    if known is not None and _is_other(Path(known), path, batch):
        return Path(known)
    place = {"batch": batch, "path": str(path)}
    insert = build_insert(db.dialect.name, batches).values(place)
    db.execute(insert.on_conflict_do_update(index_elements=["batch"], set_=place))
    return None


def _is_other(known: Path, path: Path, batch: str) -> bool:
    """True if another file holds the same batch; one that was moved, deleted or replaced does not."""
    try:
        if known.samefile(path):
            return False
        with closing(sqlite3.connect(f"{known.as_uri()}?mode=ro", uri=True)) as db:
            return db.execute("SELECT batch FROM batch_identity").fetchall() == [(batch,)]
    except (OSError, ValueError, sqlite3.Error):
        return False
