"""Ledgers of older versions are brought up to date when they are opened, in their folder and on PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.migrations import _STEPS, read_version
from tasks.ledger.database.schema import SCHEMA_VERSION
from tasks.ledger.open_jobs import EVERYTHING, count_open
from tasks.ledger.runs import get_batch_identity
from tests.support.factories import make_job, plan_jobs
from tests.tasks.ledger.conftest import out, server  # noqa: F401  fixtures

VERSION_1 = {"attempts": 17, "jobs": 40, "runs": 11}
"""Its tables, and how many columns each had. Whatever came since needs a step."""
UNDOINGS = (
    (re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+) .*"), r"ALTER TABLE \1 DROP COLUMN \2"),
    (re.compile(r"CREATE TABLE (\w+) .*", re.DOTALL), r"DROP TABLE \1"),
    (re.compile(r"CREATE INDEX (\w+) .*"), r"DROP INDEX \1"),
)
Facts = dict[str, tuple[set[tuple[str, str, bool]], set[str | None]]]
"""Columns (name, type, may be NULL) and indexes of each table."""


def undo(statement: str) -> str:
    """The statement that takes back one of a migration."""
    [undone] = [pattern.sub(back, statement) for pattern, back in UNDOINGS if pattern.fullmatch(statement)]
    return undone


def go_back(db: Connection, version: int) -> None:
    """Make the ledger of this program one of an older version."""
    for step in range(SCHEMA_VERSION, version, -1):
        for statement in reversed(_STEPS[step]):
            db.execute(text(undo(statement)))
    is_sqlite = db.dialect.name == "sqlite"
    db.execute(
        text(f"PRAGMA user_version = {version}" if is_sqlite else f"UPDATE ledger_version SET version = {version}")
    )


def read_facts(db: Connection) -> Facts:
    """The ledger's tables as the database has them."""
    looking = inspect(db)
    return {
        table: (
            {(column["name"], str(column["type"]), bool(column["nullable"])) for column in looking.get_columns(table)},
            {index["name"] for index in looking.get_indexes(table)},
        )
        for table in looking.get_table_names()
        if table != "ledger_version"
    }


async def look(engine: AsyncEngine) -> Facts:
    """See `read_facts`."""
    async with engine.connect() as db:
        return await db.run_sync(read_facts)


@pytest.mark.parametrize("version", [1, 5, 9])
async def test_an_older_ledger_goes_on(out: Path, version: int) -> None:  # noqa: F811
    """It becomes what a new one is, in any order of openers at the same time, and keeps its jobs."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [make_job()])
        new = await look(engine)
        async with engine.begin() as db:
            await db.run_sync(go_back, version)
        old = await look(engine)
    assert old != new
    if version == 1:
        assert {table: len(columns) for table, (columns, _) in old.items()} == VERSION_1

    async def open_it() -> tuple[int, str, int]:
        async with open_ledger(out) as engine, engine.connect() as db:
            found = await db.run_sync(read_version)
            return await count_open(engine, EVERYTHING), await get_batch_identity(engine), found

    [(jobs, identity, found)] = set(await asyncio.gather(*(open_it() for _ in range(5))))
    assert (jobs, len(identity), found) == (1, 32, SCHEMA_VERSION)
    async with open_ledger(out) as engine:
        assert await look(engine) == new
