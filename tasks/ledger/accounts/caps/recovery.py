"""Settling what runs that were killed have left: their ledgers say which attempts never left, and what the others cost.

Nothing comes back by age alone, for the time of a clock proves nothing: a batch has to be dead, and its ledger has to say
that an attempt never left. One that may have been billed goes on to count at its most.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.caps.cap import Payer
from tasks.core.memory import split_chunks
from tasks.core.records import JobState
from tasks.ledger.accounts.caps.charges import Charger, Key, Settlement, write_entries
from tasks.ledger.accounts.caps.schema import OPEN, SETTLED, charges
from tasks.ledger.accounts.predictions import batches
from tasks.ledger.database.schema import attempts
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.database.writer import LedgerWriter
from tasks.ledger.leases import list_living_leases
from tasks.ledger.lock import is_locked

Ends = Mapping[Key, tuple[str, int | None]]
"""State and cost (None: not known) of each attempt that a ledger has."""


async def settle_own(writer: LedgerWriter, engine: AsyncEngine, batch: str) -> None:
    """Settle what earlier runs of a batch have left. The caller holds the batch's lock.

    Args:
        writer: The place that counts.
        engine: The batch's ledger.
        batch: Its identity.
    """
    left = await writer.write(partial(_find_unsettled, batch=batch))
    if not left:
        return
    ends = await _read_ends(engine, [(row["job_id"], row["number"]) for row in left])
    # A living worker may be about to write the intent of one that the ledger does not have yet.
    are_workers_alive = bool(await list_living_leases(engine))
    await _write(writer, batch, _build_settlements(left, ends, keep_unknown=are_workers_alive))


async def settle_dead(writer: LedgerWriter, *, but: str = "") -> bool:
    """Settle what dead batches of this machine have left, except one's own; True where something came back or changed."""
    places = await writer.write(partial(_find_places, but=but))
    settled = [await _settle_folder(writer, batch, Path(path)) for batch, path in places]
    return any(settled)


async def _settle_folder(writer: LedgerWriter, batch: str, ledger: Path) -> bool:
    left = await writer.write(partial(_find_unsettled, batch=batch))
    # In this order: whoever made these charges held the lock, so where it is free he is dead, and the ledger has his last
    # word. A run that begins now takes the charges over under a name of its own, and `Settlement.owner` leaves them to it.
    if not left or await asyncio.to_thread(is_locked, ledger.parent):
        return False
    try:
        ends = await asyncio.to_thread(_read_file, ledger, batch, [(row["job_id"], row["number"]) for row in left])
    # Moved, damaged or another user's: its attempts stay counted at their most.
    except (OSError, ValueError, sqlite3.Error):
        return False
    settlements = _build_settlements(left, ends)
    await _write(writer, batch, settlements)
    return bool(settlements)


def _build_settlements(
    left: Sequence[Mapping[str, Any]], ends: Ends, *, keep_unknown: bool = False
) -> list[Settlement]:
    """The ends of those charges that the ledger settles."""
    found = []
    for row in left:
        key = (row["job_id"], row["number"])
        # An intent is on disk before its call leaves: what the ledger does not know never left.
        state, cost_micros = ends.get(key, ("", None if keep_unknown else 0))
        if cost_micros is not None:
            payer = Payer(row["caller"], row["backend"], row["model"])
            images = int(state == JobState.SUCCEEDED)
            found.append(
                Settlement(
                    key=key,
                    payer=payer,
                    cost_micros=cost_micros,
                    images=images,
                    most_micros=None,
                    owner=row["owner"],
                )
            )
    return found


async def _write(writer: LedgerWriter, batch: str, settlements: Sequence[Settlement]) -> None:
    if settlements:
        charger = Charger(batch=batch, owner="", caps=(), now_us=lambda: 0)
        await writer.write(partial(write_entries, entries=settlements, charger=charger))


def _find_unsettled(db: Connection, batch: str) -> list[dict[str, Any]]:
    mine = (charges.c.batch == batch) & (charges.c.state != SETTLED)
    return [dict(row) for row in db.execute(select(charges).where(mine)).mappings()]


def _find_places(db: Connection, but: str) -> list[tuple[str, str]]:
    """The ledgers of other batches that have charges in flight."""
    having = select(charges.c.batch).where((charges.c.state == OPEN) & (charges.c.batch != but))
    found = db.execute(select(batches.c.batch, batches.c.path).where(batches.c.batch.in_(having)))
    return [(row.batch, row.path) for row in found]


async def _read_ends(engine: AsyncEngine, keys: Sequence[Key]) -> Ends:
    found: dict[Key, tuple[str, int | None]] = {}
    columns = (attempts.c.job_id, attempts.c.number, attempts.c.state, attempts.c.cost_micros)
    for chunk in split_chunks(keys):
        asked = tuple_(attempts.c.job_id, attempts.c.number).in_(chunk)
        for job_id, number, state, cost_micros in await fetch_rows(engine, select(*columns).where(asked)):
            found[job_id, number] = (state, cost_micros)
    return found


def _read_file(ledger: Path, batch: str, keys: Sequence[Key]) -> Ends:
    """As `_read_ends`, of a ledger that nobody has open."""
    found: dict[Key, tuple[str, int | None]] = {}
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as db:
        if db.execute("SELECT batch FROM batch_identity").fetchall() != [(batch,)]:
            raise ValueError("another batch is there")
        for job_id, number in keys:
            query = "SELECT state, cost_micros FROM attempts WHERE job_id = ? AND number = ?"
            for state, cost_micros in db.execute(query, (job_id, number)):
                found[job_id, number] = (state, cost_micros)
    return found
