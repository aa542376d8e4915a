"""The ends of charges that a killed run has left, as its ledger has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from tasks.core.caps.cap import Payer
from tasks.core.memory import split_chunks
from tasks.core.records import JobState
from tasks.ledger.accounts.caps.charges import Charger, Key, Settlement, write_entries
from tasks.ledger.accounts.caps.schema import OPEN, PENDING, charges
from tasks.ledger.accounts.predictions import batches
from tasks.ledger.database.schema import attempts

Ends = Mapping[Key, tuple[str, int | None]]
"""State and cost (None: not known) of each attempt that a ledger has."""


def find_unsettled(db: Connection, batch: str) -> list[dict[str, Any]]:
    """The charges of a batch that have no known cost."""
    mine = (charges.c.batch == batch) & charges.c.state.in_(PENDING)
    return [dict(row) for row in db.execute(select(charges).where(mine)).mappings()]


def find_charged(db: Connection, but: str) -> list[str]:
    """Other batches that have charges in flight."""
    query = select(charges.c.batch).where((charges.c.state == OPEN) & (charges.c.batch != but)).distinct()
    return list(db.scalars(query.order_by(charges.c.batch)))


def find_ledgers(db: Connection, having: Sequence[str]) -> list[tuple[str, str]]:
    """Batches among these whose ledgers are known here: paths in a state folder, names of schemas on a server."""
    known = select(batches.c.batch, batches.c.path).where(batches.c.batch.in_(having)).order_by(batches.c.batch)
    return [(row.batch, row.path) for row in db.execute(known)]


def get_keys(left: Sequence[Mapping[str, Any]]) -> list[Key]:
    """The attempts of charges."""
    return [(row["job_id"], row["number"]) for row in left]


def build_queries(keys: Sequence[Key]) -> Iterator[Select[tuple[str, int, str, int | None]]]:
    """Build the queries for the ends of attempts: job_id, number, state and cost."""
    columns = (attempts.c.job_id, attempts.c.number, attempts.c.state, attempts.c.cost_micros)
    # By job alone: for a list of pairs SQLite would read the whole table, and a job has few attempts.
    for chunk in split_chunks(dict.fromkeys(job_id for job_id, _ in keys)):
        yield select(*columns).where(attempts.c.job_id.in_(chunk))


def settle_left(db: Connection, batch: str, left: Sequence[Mapping[str, Any]], ends: Ends) -> bool:
    """Settle the charges of a dead batch that its ledger settles; True where there are any."""
    settlements = build_settlements(left, ends)
    if settlements:
        write_settlements(db, batch, settlements)
    return bool(settlements)


def write_settlements(db: Connection, batch: str, settlements: Sequence[Settlement]) -> None:
    """Write ends that no process of the batch writes itself."""
    write_entries(db, settlements, Charger(batch=batch, owner="", caps=(), now_us=lambda: 0))


def build_settlements(left: Sequence[Mapping[str, Any]], ends: Ends, *, keep_unknown: bool = False) -> list[Settlement]:
    """The ends of those charges that the ledger settles.

    Args:
        left: The charges.
        ends: The ledger's attempts.
        keep_unknown: A charge whose attempt the ledger does not have stays as it is.
    """
    found = []
    for row in left:
        key = (row["job_id"], row["number"])
        # An intent is on disk before its call leaves: what the ledger does not know never left.
        state, cost_micros = ends.get(key, ("", None if keep_unknown else 0))
        if cost_micros is not None:
            payer = Payer(row["caller"], row["backend"], row["model"])
            # Not more than was counted: a judge's call succeeds without an image.
            images = min(row["images"], int(state == JobState.SUCCEEDED))
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
