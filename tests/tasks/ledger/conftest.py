"""The ledger's tests run on both databases: `out` is the folder of a batch on each of them in turn."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import PostgresqlSchema, make_schema_name
from tests.support.services.postgresql import PASSWORD, Postgresql


def begin_on(server: Postgresql, out: Path) -> PostgresqlSchema:
    """A ledger without jobs on the server, to which the folder's pointer leads."""

    async def begin() -> PostgresqlSchema:
        place = PostgresqlSchema(out=out, url=server.url(), schema=make_schema_name(out))
        async with open_ledger(place, create=True):
            return place

    return asyncio.run(begin())


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Postgresql:
    """The session's PostgreSQL, its password where every program looks for it."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    found: Postgresql = request.getfixturevalue("postgresql")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An output folder whose ledger is in it, or on PostgreSQL."""
    folder: Path = tmp_path / "out"
    folder.mkdir()
    if request.param == "postgresql":
        begin_on(request.getfixturevalue("server"), folder)
    return folder


async def on_disk(out: Path, query: str) -> list[tuple[Any, ...]]:
    """What another process reads from the ledger now."""
    async with open_ledger(out) as engine, engine.connect() as db:
        return [tuple(row) for row in (await db.exec_driver_sql(query)).all()]
