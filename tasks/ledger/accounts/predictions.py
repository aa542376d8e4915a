"""The registry of prediction ids: each belongs to one attempt of one batch, whoever asks first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    select,
)
from sqlalchemy.exc import DBAPIError

from tasks.core.database import build_insert, read_now_us
from tasks.core.errors import BatchStopped
from tasks.core.memory import split_chunks
from tasks.core.safe_text import database_error_text
from tasks.ledger.database.writer import LedgerWriter
from tasks.ledger.group_commit import GroupCommit

_UNUSABLE = (DBAPIError, OSError, BatchStopped)
logger = logging.getLogger(__name__)


SCHEMA = "imagen_accounts"
"""Name of the tables' schema in PostgreSQL; in SQLite they have none."""

metadata = MetaData(schema=SCHEMA)

predictions = Table(
    "predictions",
    metadata,
    Column("account", Text, primary_key=True),
    Column("prediction_id", Text, primary_key=True),
    Column("batch", String(32), nullable=False),
    Column("job_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("claimed_at_us", BigInteger, nullable=False),
    Index("predictions_claimed_at", "claimed_at_us"),  # old rows are deleted at each start
    Index("predictions_attempt", "batch", "job_id", "number"),
)


batches = Table(
    "batches", metadata, Column("batch", String(32), primary_key=True), Column("path", Text, nullable=False)
)
"""The place where each batch's ledger was seen last, on this machine."""


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """An attempt that says a prediction is its own."""

    account: str
    """A service's address and the hash of its key."""
    prediction_id: str
    job_id: str
    number: int
    """Of the attempt."""


class RegistryPlace:
    """The registry in one database; atomic over the processes that use it."""

    def __init__(self, writer: LedgerWriter | None, batch: str, problem: str | None) -> None:
        """Write for `batch`; without a writer nothing is known, and `problem` says why."""
        self.batch = batch
        self.problem = problem
        """The reason why other batches are not known; None while they are."""
        self._writer = writer
        self._claims = GroupCommit(self._write)

    async def claim(self, claim: Claim) -> bool:
        """True where the prediction is the attempt's from now on, or was before; False where it is another one's."""
        if self._writer is None:
            return True
        try:
            # Grouped, so that a thousand jobs do not mean a thousand commits; the outcome holds those that came too
            # late.
            return claim not in await asyncio.shield(self._claims.add(claim))
        except _UNUSABLE as exc:
            self._give_up(exc)
            return True

    async def find_taken(self, account: str, ids: Collection[str], *, job_id: str, number: int) -> frozenset[str]:
        """Those of the ids that belong to another attempt than this one, of whatever batch."""
        mine = (self.batch, job_id, number)
        taken: set[str] = set()
        for chunk in split_chunks(ids):
            listed = predictions.c.prediction_id.in_(chunk)
            rows = await self._read((predictions.c.account == account) & listed)
            taken |= {row.prediction_id for row in rows if (row.batch, row.job_id, row.number) != mine}
        return frozenset(taken)

    async def find_own(self, account: str, *, job_id: str, number: int) -> str | None:
        """The prediction that this attempt claimed before its run was killed; None where it claimed none."""
        mine = (predictions.c.batch == self.batch) & (predictions.c.job_id == job_id)
        rows = await self._read(mine & (predictions.c.number == number) & (predictions.c.account == account))
        # The newest: the same intent may have been sent twice in one run.
        return str(rows[-1].prediction_id) if rows else None

    async def close(self) -> None:
        """Write the claims that nobody waited for."""
        try:
            await self._claims.drain()
        except _UNUSABLE as exc:
            self._give_up(exc)

    async def _read(self, condition: ColumnElement[bool]) -> Sequence[Row[Any]]:
        if self._writer is None:
            return ()
        try:
            return await self._writer.write(partial(_find, condition=condition))
        except _UNUSABLE as exc:
            self._give_up(exc)
            return ()

    async def _write(self, claims: Sequence[Claim]) -> frozenset[Claim]:
        if self._writer is None:
            return frozenset()
        return await self._writer.write(partial(_claim, batch=self.batch, claims=sorted(claims)))

    def _give_up(self, exc: BaseException) -> None:
        """Go on without other batches: what this ledger and this process know still holds."""
        if self.problem is None:
            self._writer, self.problem = None, database_error_text(exc)
            logger.warning("The registry of predictions cannot be used any more (%s).", self.problem)


def _find(db: Connection, condition: ColumnElement[bool]) -> Sequence[Row[Any]]:
    return db.execute(select(predictions).where(condition).order_by(predictions.c.claimed_at_us)).all()


def _claim(db: Connection, batch: str, claims: Sequence[Claim]) -> frozenset[Claim]:
    """Enter the claims in the order of their keys, and return those that came too late."""
    now_us = read_now_us(db, time.time_ns() // 1_000)
    rows = [
        {
            "account": claim.account,
            "prediction_id": claim.prediction_id,
            "batch": batch,
            "job_id": claim.job_id,
            "number": claim.number,
            "claimed_at_us": now_us,
        }
        for claim in claims
    ]
    if rows:
        # The primary key decides who was first; the rows are read back to learn it.
        db.execute(build_insert(db.dialect.name, predictions).on_conflict_do_nothing(), rows)
    owners: dict[tuple[str, str], tuple[str, str, int]] = {}
    # Account by account: for a list of pairs SQLite would read the whole table.
    for account, claimed in groupby(claims, key=attrgetter("account")):
        for chunk in split_chunks(claimed):
            asked = predictions.c.prediction_id.in_([claim.prediction_id for claim in chunk])
            for row in db.execute(select(predictions).where((predictions.c.account == account) & asked)):
                owners[row.account, row.prediction_id] = (row.batch, row.job_id, row.number)
    return frozenset(
        claim
        for claim in claims
        if owners.get((claim.account, claim.prediction_id)) != (batch, claim.job_id, claim.number)
    )
