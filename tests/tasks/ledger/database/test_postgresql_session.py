"""Connections of a ledger where a pooler is in between, or where somebody limits the times of the role."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tasks.core.errors import ConfigError
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import PostgresqlSchema, make_schema_name
from tests.support.services.postgresql import Postgresql
from tests.tasks.ledger.conftest import begin_on

LIMITS = ("statement_timeout", "lock_timeout", "idle_session_timeout")
STARTUP_VERSION = 196_608


def leave_out(startup: bytes, name: str) -> bytes:
    """A client's first message without one of its settings."""
    words = startup[8:-2].split(b"\0")
    pairs = [(key, value) for key, value in zip(words[::2], words[1::2], strict=True) if key != name.encode()]
    body = b"".join(word + b"\0" for pair in pairs for word in pair) + b"\0"
    return struct.pack("!ii", len(body) + 8, STARTUP_VERSION) + body


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, until the end."""
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def pooler_without_schemas(server: Postgresql) -> AsyncIterator[int]:
    """The port of a pooler that ignores the search path, as many are set up to do."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onwards = await asyncio.open_connection("127.0.0.1", server.port)
        head = await reader.readexactly(4)
        onwards.write(leave_out(head + await reader.readexactly(struct.unpack("!i", head)[0] - 4), "search_path"))
        await asyncio.gather(copy(reader, onwards), copy(there, writer))

    pooler = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield pooler.sockets[0].getsockname()[1]
    finally:
        pooler.close()


async def test_a_pooler_that_leaves_out_the_schema_is_refused(server: Postgresql, tmp_path: Path) -> None:
    """Through it all batches would share the tables of one schema, so nothing is made and the error says what to do."""
    async with pooler_without_schemas(server) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"
        place = PostgresqlSchema(out=tmp_path, url=url, schema=make_schema_name(tmp_path))
        with pytest.raises(
            ConfigError, match=r"is behind a pooler .*: put the address of the server itself into the URL"
        ):
            async with open_ledger(place, create=True):
                pass
    assert await server.fetch("SELECT to_regclass('public.jobs')") == [(None,)]


async def test_limits_of_the_role_do_not_hold_for_a_ledger(server: Postgresql, tmp_path: Path) -> None:
    """A run's long statements, its waits for rows and its idle lock outlast limits that were set for other programs."""
    await server.fetch("CREATE ROLE hurried LOGIN SUPERUSER;")
    for name in LIMITS:
        await server.fetch(f"ALTER ROLE hurried SET {name} = '1h';")
    begun = await asyncio.to_thread(begin_on, server, tmp_path)
    place = PostgresqlSchema(out=tmp_path, url=server.url(user="hurried"), schema=begun.schema)
    await server.fetch("ALTER ROLE hurried PASSWORD 'secret-of-a-test';")
    async with open_ledger(place) as engine, engine.connect() as db:
        limits = {name: (await db.exec_driver_sql(f"SHOW {name}")).scalar_one() for name in LIMITS}
    assert limits == dict.fromkeys(LIMITS, "0")
