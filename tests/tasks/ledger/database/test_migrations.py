"""Ledgers of older versions are brought up to date when they are opened."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import SCHEMA_VERSION
from tasks.ledger.open_jobs import EVERYTHING, count_open
from tasks.ledger.runs import get_batch_identity
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
    "reused_from",
    "provenance",
)


async def write_version_1(out: Path) -> None:
    """A ledger of one open job as version 1 had it: without leases, routes and pictures to start from."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job()])
    with sqlite3.connect(out / "ledger.db") as db:
        for index in ("jobs_claimed_by", "jobs_prediction_id", "attempts_prediction_id"):
            db.execute(f"DROP INDEX {index}")
        db.execute("DROP TABLE batch_identity")
        db.execute("DROP TABLE verdicts")
        db.execute("DROP TABLE scores")
        db.execute("DROP TABLE comparisons")
        db.execute("ALTER TABLE attempts DROP COLUMN sent_at_us")
        for column in ("list_prices", "deployment", "frees_at_us", "plan_digest", "table_state"):
            db.execute(f"ALTER TABLE runs DROP COLUMN {column}")
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

    async def look() -> tuple[int, str]:
        async with open_ledger(old) as engine:
            return await count_open(engine, EVERYTHING), await get_batch_identity(engine)

    [(jobs, identity)] = set(await asyncio.gather(*(look() for _ in range(5))))
    assert (jobs, len(identity)) == (1, 32)
    version, columns = facts(old)
    assert version == SCHEMA_VERSION
    assert tuple(columns[-len(ADDED) :]) == ADDED
