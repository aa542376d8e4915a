"""Leases on jobs, timed by the database's clock: they say which of several workers owns which job.

A worker claims open jobs of a range, renews its leases while it lives, and releases what it leaves open. Any worker may
claim a job that nobody holds or whose lease ended, and continues from the state in the ledger. An ended lease is not
renewed, because its reservation may be spent elsewhere. A paid call is sent only while enough of the lease is left.
Writes of a worker that lost its job are dropped (`tasks.ledger.changes`).
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, exists, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from tasks.core.memory import split_chunks
from tasks.ledger.database.schema import jobs, runs
from tasks.ledger.database.transactions import execute, fetch_rows
from tasks.ledger.open_jobs import IS_OPEN, OpenJob, find_open_jobs

IDS_PER_STATEMENT = 5_000
"""A statement of asyncpg takes 32,767 values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """Terms on which a worker claims jobs."""

    owner: str
    """Name that no other worker ever has; see `make_owner`."""
    lease_s: float = 180.0
    """Lease length in seconds. If a worker dies, its jobs are free again after this time."""
    send_margin_s: float = 60.0
    """Seconds that must be left when a paid call is sent: more than a create takes, its connection included."""
    run: int | None = None
    """The worker claims and sends only while this is the newest run: a later one may have another budget. None: always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivingLease:
    """Jobs that a worker holds now."""

    owner: str
    jobs: int
    left_s: float
    """Seconds until its last lease ends, unless renewed."""


@dataclass(frozen=True, slots=True)
class SilentJobs:
    """Open jobs of workers that have stopped renewing their leases, as one that was killed."""

    jobs: int = 0
    left_s: float = 0.0
    """Seconds until the last of them is free for another worker."""


class DatabaseNow(FunctionElement[int]):
    """Microseconds since 1970 UTC by the database's clock, which all workers share."""

    type = BigInteger()
    inherit_cache = True
    name = "database_now"


@compiles(DatabaseNow, "postgresql")
# `clock_timestamp`, not `now()`, which stands still in a transaction.
def _compile_for_postgresql(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"


@compiles(DatabaseNow, "sqlite")
# 2440587.5 is 1970-01-01 as a Julian day; 86,400 s in microseconds are a day.
def _compile_for_sqlite(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"


IS_LEASED = IS_OPEN & jobs.c.claimed_by.is_not(None) & (jobs.c.lease_until_us > DatabaseNow())
"""Condition: a worker holds the open job, or died and its lease goes on."""


def make_owner() -> str:
    """A unique worker name that shows host and process."""
    # A process id comes again after a restart, and the dead worker's leases with it.
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


async def claim(
    engine: AsyncEngine,
    first: int,
    last: int,
    terms: LeaseTerms,
    *,
    at_most: int | None = None,
    planned_run: int | None = None,
    backend: str | None = None,
) -> list[OpenJob]:
    """Claim the open jobs between two sort keys that have no living lease, in manifest order.

    Each job goes to one caller, however many ask. The same owner gets it again only after releasing it, because it may
    have the job in hand although the lease ended. None for `at_most`, `planned_run` or `backend` means all.
    """
    free = (
        select(jobs.c.job_id)
        .where(jobs.c.position.between(first, last), *_list_conditions(terms, planned_run, backend))
        .order_by(jobs.c.position)
        .limit(at_most)
        # Workers that ask at once take different jobs, instead of waiting for each other.
        .with_for_update(skip_locked=True)
        .cte("free")
    )
    taking = (
        update(jobs)
        .where(jobs.c.job_id.in_(select(free.c.job_id)))
        .values(claimed_by=terms.owner, lease_until_us=_compute_lease_end(terms))
        .returning(jobs.c.job_id)
    )
    taken = {job_id for (job_id,) in await fetch_rows(engine, taking)}
    # Read after the claim: only now can no other worker change their states.
    claimed = await find_open_jobs(engine, first, last, owner=terms.owner) if taken else []
    # Jobs that this owner has in hand already are found too.
    return [entry for entry in claimed if entry.job.job_id in taken]


async def renew(engine: AsyncEngine, terms: LeaseTerms, job_ids: Collection[str]) -> frozenset[str]:
    """Extend the leases on these jobs to `lease_s` from now.

    Returns:
        Ids of the jobs still held; the leases on the others have ended.
    """
    # Once it ended, another worker may have begun to count on it.
    lives = jobs.c.lease_until_us > DatabaseNow()
    return await _update_mine(engine, terms.owner, job_ids, lives, lease_until_us=_compute_lease_end(terms))


async def release(engine: AsyncEngine, owner: str, job_ids: Collection[str]) -> None:
    """Release the open ones of these jobs, so that other workers need not wait for the leases to end."""
    await _update_mine(engine, owner, job_ids, IS_OPEN, claimed_by=None, lease_until_us=None)


async def revoke(engine: AsyncEngine, owner: str | None = None) -> None:
    """End the leases of one owner, or of all; their later writes are dropped.

    A run that has the batch alone calls this first: a worker that only slept would otherwise continue its jobs.
    """
    claimed = IS_OPEN & (jobs.c.claimed_by.is_not(None) if owner is None else jobs.c.claimed_by == owner)
    await execute(engine, update(jobs).where(claimed).values(claimed_by=None, lease_until_us=None))


async def list_living_leases(engine: AsyncEngine) -> list[LivingLease]:
    """Workers that hold open jobs; a dead one is listed until its leases end."""
    left_us = func.max(jobs.c.lease_until_us) - DatabaseNow()
    query = (
        select(jobs.c.claimed_by, func.count(), left_us)
        .where(IS_LEASED)
        .group_by(jobs.c.claimed_by)
        .order_by(jobs.c.claimed_by)
    )
    found = await fetch_rows(engine, query)
    return [LivingLease(owner=owner, jobs=number, left_s=us / 1e6) for owner, number, us in found]


async def find_silent_jobs(engine: AsyncEngine, lease_s: float) -> SilentJobs:
    """Find open jobs whose lease was not renewed in time; a living worker renews before a quarter of it is over."""
    left_us = func.max(jobs.c.lease_until_us) - DatabaseNow()
    until = jobs.c.lease_until_us.between(DatabaseNow(), DatabaseNow() + round(lease_s / 2 * 1e6))
    query = select(func.count(), left_us).where(IS_OPEN & jobs.c.claimed_by.is_not(None) & until)
    [(number, us)] = await fetch_rows(engine, query)
    return SilentJobs(number, us / 1e6) if number else SilentJobs()


def read_seconds_left(db: Connection, owner: str, job_ids: Iterable[str]) -> dict[str, float]:
    """Seconds left of the owner's leases, by job; the rows stay locked until the transaction ends.

    A lease that ended without being taken over is still held, with a negative rest.
    """
    if db.dialect.name == "sqlite":
        # SQLite has no row locks, so the whole file is locked before it is read.
        db.execute(text("BEGIN IMMEDIATE"))
    left_us = jobs.c.lease_until_us - DatabaseNow()
    # In one order, or two workers that lock the same rows could wait for each other for ever.
    query = select(jobs.c.job_id, left_us).order_by(jobs.c.job_id).with_for_update()
    found: dict[str, float] = {}
    for chunk in split_chunks(sorted(job_ids), IDS_PER_STATEMENT):
        mine = (jobs.c.claimed_by == owner) & jobs.c.job_id.in_(chunk)
        found |= {job_id: us / 1e6 for job_id, us in db.execute(query.where(mine))}
    return found


def is_newest(run: int) -> ColumnElement[bool]:
    """Condition: no later run of the batch has begun."""
    return ~exists().where(runs.c.number > run)


async def _update_mine(
    engine: AsyncEngine, owner: str, job_ids: Collection[str], where: ColumnElement[bool], **values: Any
) -> frozenset[str]:
    mine: set[str] = set()
    for chunk in split_chunks(sorted(job_ids), IDS_PER_STATEMENT):
        still = (jobs.c.claimed_by == owner) & jobs.c.job_id.in_(chunk)
        changing = update(jobs).where(still & where).values(values).returning(jobs.c.job_id)
        mine |= {job_id for (job_id,) in await fetch_rows(engine, changing)}
    return frozenset(mine)


def _list_conditions(terms: LeaseTerms, planned_run: int | None, backend: str | None) -> Iterator[ColumnElement[bool]]:
    yield IS_OPEN
    yield _is_free(terms.owner)
    if planned_run is not None:
        yield jobs.c.planned_run == planned_run
    if backend is not None:
        yield jobs.c.backend == backend
    if terms.run is not None:
        yield is_newest(terms.run)


def _is_free(owner: str) -> ColumnElement[bool]:
    # Not its own: the job may still be in hand here, though the lease ended.
    return or_(jobs.c.claimed_by.is_(None), (jobs.c.claimed_by != owner) & (jobs.c.lease_until_us < DatabaseNow()))


def _compute_lease_end(terms: LeaseTerms) -> ColumnElement[int]:
    return DatabaseNow() + round(terms.lease_s * 1e6)
