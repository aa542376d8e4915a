"""Charges of dead batches whose ledgers are schemas of the database that counts: settled in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.database import build_insert
from tasks.ledger.accounts.caps.book import begin_exclusively
from tasks.ledger.accounts.caps.charges import Key
from tasks.ledger.accounts.caps.endings import (
    Ends,
    build_queries,
    find_charged,
    find_ledgers,
    find_unsettled,
    get_keys,
    settle_left,
)
from tasks.ledger.accounts.predictions import batches
from tasks.ledger.database.postgresql_lock import IS_HELD
from tasks.ledger.database.schema import batch_identity, jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.database.writer import LedgerWriter
from tasks.ledger.leases import IS_LEASED


async def note_schema(writer: LedgerWriter, engine: AsyncEngine, batch: str) -> None:
    """Note the schema of a batch's ledger, so that others settle what a killed run of it leaves.

    Args:
        writer: The server that counts. It may be another one, where nobody finds the schema.
        engine: The batch's ledger.
        batch: Its identity.
    """
    [(schema,)] = await fetch_rows(engine, select(func.current_schema()))
    await writer.write(partial(_note, row={"batch": batch, "path": schema}))


def settle_dead_schemas(db: Connection, *, but: str) -> bool:
    """Settle what dead batches have left, except one's own; True where something came back or changed.

    A batch is dead when nobody holds its lock and the leases of its workers have ended.
    """
    # Whoever begins a run of one of them charges after this transaction, and under a name of his own.
    begin_exclusively(db)
    settled = False
    for batch, schema in find_ledgers(db, having=find_charged(db, but=but)):
        left = find_unsettled(db, batch)
        try:
            # A schema that is another role's, or gone, must not break the transaction.
            with db.begin_nested():
                ends = _read_schema(db, schema, batch, get_keys(left))
        except (DBAPIError, ValueError):
            continue
        settled |= settle_left(db, batch, left, ends)
    return settled


def _note(db: Connection, row: dict[str, str]) -> None:
    insert = build_insert(db.dialect.name, batches).values(row)
    db.execute(insert.on_conflict_do_update(index_elements=["batch"], set_=row))


def _read_schema(db: Connection, schema: str, batch: str, keys: Sequence[Key]) -> Ends:
    """The ends of attempts of a batch that is dead.

    Raises:
        DBAPIError: The schema cannot be read.
        ValueError: The batch lives, or another one is there.
    """
    options = {"schema_translate_map": {None: schema}}
    # Before the attempts: once he is dead nothing leaves any more, and what left before is there.
    if db.execute(text(IS_HELD), {"schema": schema}).scalar():
        raise ValueError("a run holds it")
    if db.scalar(select(select(jobs.c.job_id).where(IS_LEASED).exists()), execution_options=options):
        raise ValueError("its workers may live")
    if list(db.scalars(select(batch_identity.c.batch), execution_options=options)) != [batch]:
        raise ValueError("another batch is there")
    found: dict[Key, tuple[str, int | None]] = {}
    for query in build_queries(keys):
        for row in db.execute(query, execution_options=options):
            found[row.job_id, row.number] = (row.state, row.cost_micros)
    return found
