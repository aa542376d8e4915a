"""Settling what runs that were killed have left: their ledgers say which attempts never left, and what the others cost.

Nothing comes back by age alone, for the time of a clock proves nothing: a batch has to be dead, and its ledger has to say
that an attempt never left. One that may have been billed goes on to count at its most.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.ledger.accounts.caps.charges import Key
from tasks.ledger.accounts.caps.endings import (
    Ends,
    build_queries,
    build_settlements,
    find_charged,
    find_ledgers,
    find_unsettled,
    get_keys,
    settle_left,
    write_settlements,
)
from tasks.ledger.accounts.caps.place import CountingPlace
from tasks.ledger.accounts.caps.schema_recovery import settle_dead_schemas
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.database.writer import LedgerWriter
from tasks.ledger.leases import list_living_leases
from tasks.ledger.lock import is_locked


async def settle_own(writer: LedgerWriter, engine: AsyncEngine, batch: str) -> None:
    """Settle what earlier runs of a batch have left. The caller holds the batch's lock."""
    left = await writer.write(partial(find_unsettled, batch=batch))
    if not left:
        return
    ends = await _read_ends(engine, get_keys(left))
    # A living worker may be about to write the intent of one that the ledger does not have yet.
    are_workers_alive = bool(await list_living_leases(engine))
    if settlements := build_settlements(left, ends, keep_unknown=are_workers_alive):
        await writer.write(partial(write_settlements, batch=batch, settlements=settlements))


async def settle_dead(place: CountingPlace, *, but: str = "") -> bool:
    """Settle what dead batches have left, except one's own; True where something came back or changed.

    Their ledgers are files of this machine, or schemas of the database that counts.
    """
    settled = False
    if place.is_server:
        settled = await place.writer.write(partial(settle_dead_schemas, but=but))
    # Without a state folder no file is known, and a run that counts alone has nobody else's charges.
    if place.state is not None and place.problem is None:
        charged = await place.writer.write(partial(find_charged, but=but))
        for batch, path in await place.state.write(partial(find_ledgers, having=charged)):
            settled |= await _settle_file(place, batch, Path(path))
    return settled


async def _settle_file(place: CountingPlace, batch: str, ledger: Path) -> bool:
    left = await place.writer.write(partial(find_unsettled, batch=batch))
    # In this order: whoever made these charges held the lock, so where it is free he is dead, and the ledger has his last
    # word. A run that begins now takes the charges over under a name of its own, and `Settlement.owner` leaves them to it.
    if not left or await asyncio.to_thread(is_locked, ledger.parent):
        return False
    try:
        ends = await asyncio.to_thread(_read_file, ledger, batch, get_keys(left), is_shared=place.is_server)
    # Moved, damaged or another user's: its attempts stay counted at their most.
    except (OSError, ValueError, sqlite3.Error):
        return False
    return await place.writer.write(partial(settle_left, batch=batch, left=left, ends=ends))


async def _read_ends(engine: AsyncEngine, keys: Sequence[Key]) -> Ends:
    found: dict[Key, tuple[str, int | None]] = {}
    for query in build_queries(keys):
        for job_id, number, state, cost_micros in await fetch_rows(engine, query):
            found[job_id, number] = (state, cost_micros)
    return found


def _read_file(ledger: Path, batch: str, keys: Sequence[Key], *, is_shared: bool) -> Ends:
    """As `_read_ends`, of a ledger that nobody has open.

    Raises:
        ValueError: Another batch is there, or (`is_shared`: machines count together) another machine ran it last.
    """
    found: dict[Key, tuple[str, int | None]] = {}
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as db:
        if db.execute("SELECT batch FROM batch_identity").fetchall() != [(batch,)]:
            raise ValueError("another batch is there")
        # Another machine's lock on a network folder may not be seen from here.
        hosts = db.execute("SELECT host FROM runs ORDER BY number DESC LIMIT 1").fetchall() if is_shared else []
        if hosts not in ([], [(socket.gethostname(),)]):
            raise ValueError("another machine ran it last")
        for job_id, number in keys:
            query = "SELECT state, cost_micros FROM attempts WHERE job_id = ? AND number = ?"
            for state, cost_micros in db.execute(query, (job_id, number)):
                found[job_id, number] = (state, cost_micros)
    return found
