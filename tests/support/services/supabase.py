"""The usage table where users keep it: in a PostgreSQL database, and behind the API that Supabase puts before it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tasks.usage.migrate import apply_migrations
from tasks.usage.sinks.postgres import Database
from tests.support.services.postgresql import Postgresql
from tests.support.services.postgrest import SUPABASE_ROLES, Postgrest, key, running_postgrest

NAME = "usage"


@dataclass(frozen=True)
class UsageDatabase:
    """The table, looked at past all that is tested."""

    server: Postgresql

    @property
    def url(self) -> str:
        """The settings with which programs reach it."""
        return self.server.url(NAME)

    async def fetch(self, query: str) -> list[tuple[object, ...]]:
        """Rows of a query, as the database's owner sees them."""
        return await self.server.fetch(query, NAME)

    async def count(self) -> tuple[int, int]:
        """Count the rows and their different ids."""
        [(rows, ids)] = await self.fetch("SELECT count(*), count(DISTINCT id) FROM mai.imagen_usage")
        return int(str(rows)), int(str(ids))


@dataclass(frozen=True)
class Supabase:
    """The table behind PostgREST."""

    database: UsageDatabase
    api: Postgrest


@pytest.fixture(scope="session")
def _migrated(postgresql: Postgresql) -> UsageDatabase:
    database = UsageDatabase(postgresql)

    async def set_up() -> None:
        await postgresql.fetch(SUPABASE_ROLES)
        await postgresql.fetch(f"create database {NAME}")
        await apply_migrations(Database(database.url, named="the test's URL"))

    asyncio.run(set_up())
    return database


@pytest.fixture(scope="session")
def _api(_migrated: UsageDatabase) -> Iterator[Postgrest]:
    with running_postgrest(_migrated.server, DB_URI=_migrated.server.url(NAME, user="authenticator")) as api:
        yield api


@pytest.fixture
def usage_database(_migrated: UsageDatabase, monkeypatch: pytest.MonkeyPatch) -> UsageDatabase:
    """A database with an empty usage table, to which the sink `postgres` leads."""
    asyncio.run(_migrated.fetch("TRUNCATE mai.imagen_usage;"))
    monkeypatch.setenv("IMAGEN_USAGE_DATABASE_URL", _migrated.url)
    return _migrated


@pytest.fixture
def supabase(usage_database: UsageDatabase, _api: Postgrest, monkeypatch: pytest.MonkeyPatch) -> Supabase:
    """An empty usage table behind PostgREST, to which the sink `supabase` leads (`rest_path` empty)."""
    monkeypatch.setenv("SUPABASE_URL", _api.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", key())
    return Supabase(usage_database, _api)
