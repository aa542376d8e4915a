"""Ledgers of older versions are brought up to date when they are opened."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.open_jobs import EVERYTHING, count_open
from tests.support.factories import make_job, plan_jobs

ADDED = (
    "claimed_by",
    "lease_until_us",
    "fallbacks",
    "rerouted_from",
    "input_image",
    "input_image_sha256",
    "input_mask",
    "input_mask_sha256",
)


async def write_version_1(out: Path) -> None:
    """A ledger of one open job as version 1 had it: without leases, routes and pictures to start from."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job()])
    with sqlite3.connect(out / "ledger.db") as db:
        db.execute("DROP INDEX jobs_claimed_by")
        for column in ADDED:
            db.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 1")
    db.close()


def facts(out: Path) -> tuple[int, list[str]]:
    """Version, and the columns of the jobs."""
    with sqlite3.connect(out / "ledger.db") as db:
        [version] = db.execute("PRAGMA user_version").fetchone()
        columns = [row[1] for row in db.execute("PRAGMA table_info(jobs)")]
    db.close()
    return version, columns


async def test_a_ledger_of_version_1_goes_on(tmp_path: Path) -> None:
    """It gets the columns of a new one, in any order of openers at the same time, and keeps its jobs."""
    old, new = tmp_path / "old", tmp_path / "new"
    for out in (old, new):
        out.mkdir()
        await write_version_1(out)
    async with open_ledger(new):
        pass

    async def look() -> int:
        async with open_ledger(old) as engine:
            return await count_open(engine, EVERYTHING)

    assert await asyncio.gather(*(look() for _ in range(5))) == [1] * 5
    version, columns = facts(old)
    assert version == 2
    assert tuple(columns[-len(ADDED) :]) == ADDED
