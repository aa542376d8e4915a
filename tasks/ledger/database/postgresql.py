"""A ledger in a PostgreSQL database: a schema for each batch, found by the connection's search path.

A server that is away before anything was spent is an error of the configuration. Once the ledger is open, new
connections are tried for about a minute: a restart of the server is no end of a run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tasks.core.database import parse_database, parse_database_url
from tasks.core.errors import BatchLocked, BatchStopped, ConfigError, ImagenError, InputError
from tasks.core.paths import POINTER_NAME
from tasks.core.retry import retry_database
from tasks.ledger.database.location import PostgresqlSchema, read_pointer, write_pointer
from tasks.ledger.database.migrations import bring_up_to_date, read_version, require_known
from tasks.ledger.database.postgresql_errors import explain_no_connection, explain_refusal, is_away
from tasks.ledger.database.postgresql_lock import END_SESSION, HOLDER, TRY_LOCK
from tasks.ledger.database.postgresql_session import prepare_session
from tasks.ledger.database.postgresql_soundness import check_postgresql_soundness
from tasks.ledger.database.schema import SCHEMA_VERSION

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 300.0
"""Of one statement: planning a million jobs has some that take a minute."""

STUCK_S = 30
"""A process that is stopped in the middle of a transaction keeps others from its rows no longer than that."""
_REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
_BREAKS = (*_REFUSALS, asyncpg.InternalClientError)  # the last one while the server ends it; see `is_ending`


@asynccontextmanager
async def open_postgresql(
    place: PostgresqlSchema, *, create: bool, alone: bool, is_checked: bool
) -> AsyncIterator[AsyncEngine]:
    """The schema's engine for the duration of the block, its tables up to date; see `open_ledger`."""
    connector = Connector(place)
    # A worker comes into a run that goes on, and waits for its ledger as the run does.
    connector.patient = is_checked
    engine = make_engine(connector)
    try:
        try:
            # The server may end between a connection and its first statement; to prepare twice is harmless.
            await retry_database(is_away)(_prepare, engine, place, create=create)
        except DBAPIError as exc:
            raise ConfigError(f"ledger: {place} {explain_refusal(exc)}") from None
        if not is_checked:
            async with engine.begin() as db:
                await db.run_sync(check_postgresql_soundness, str(place))
        if alone:
            await connector.hold()
        # From here on money may be in flight, so an outage is waited for.
        connector.patient = True
        yield engine
    finally:
        await engine.dispose()
        await connector.close()


def make_engine(connector: Connector) -> AsyncEngine:
    """An engine whose connections the connector makes."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connector.connect,
        pool_size=2,  # the journal's and a reader's
        max_overflow=4,
        pool_timeout=10 * ANSWER_TIMEOUT_S,  # whoever waits for a place gets one when the server is back
        pool_pre_ping=True,  # a firewall may have dropped an idle connection
    )
    # At each checkout: a pooled connection may outlive the lock's session.
    event.listen(engine.sync_engine, "checkout", connector.require_lock)
    return engine


async def reach(place: PostgresqlSchema) -> None:
    """Connect once.

    Raises:
        ConfigError: The server cannot be reached or refuses.
    """
    await (await Connector(place).connect()).close()


class Connector:
    """Makes every connection to a batch's ledger; a run that is to be the only one holds its lock here.

    The lock is the server's and ends with its session. When that broke, every other connection is given up, and new
    ones are handed out only when the lock is held again: nothing is written beside another run.
    """

    def __init__(self, place: PostgresqlSchema) -> None:
        """Connect to nothing yet."""
        self.patient = False
        """True if a server that is away is waited for."""
        self._place = place
        self._session: asyncpg.Connection | None = None
        """Holds the lock."""
        self._one_at_a_time = asyncio.Lock()
        self._away_since_s = inf
        """When the server was first found away, after it was last there."""

    async def connect(self) -> asyncpg.Connection:
        """A new connection.

        Raises:
            ConfigError: The server cannot be reached or refuses. Nothing was spent.
            BatchStopped: Likewise, once the ledger was open. It can be resumed.
        """
        async with self._one_at_a_time:
            # One at a time, or every connection that broke would try to take the lock again.
            if self._session is not None and not await _is_alive(self._session):
                await self._hold_again(self._session)
        return await self._open()

    async def hold(self) -> None:
        """Be the only run of this batch until `close`.

        Raises:
            BatchLocked: Another living run is.
        """
        session = await self._open()
        if await session.fetchval(TRY_LOCK):
            self._session = session
            return
        holder = await session.fetchval(HOLDER) or "it did not say who"
        await session.close()
        raise BatchLocked(f"{self._place.out}: another run is writing to it ({holder}); wait for it or stop it")

    def require_lock(self, *_: Any) -> None:
        """Let a pooled connection be used only while the lock is held; SQLAlchemy then asks for a new one."""
        if self._session is not None and self._session.is_closed():
            raise DisconnectionError

    async def close(self) -> None:
        """Give the lock back."""
        if self._session is not None:
            with suppress(*_BREAKS):  # before the next run asks for it
                await self._session.execute("SELECT pg_advisory_unlock_all()", timeout=CONNECT_TIMEOUT_S)
            with suppress(*_BREAKS):
                await self._session.close(timeout=CONNECT_TIMEOUT_S)

    async def _hold_again(self, lost: asyncpg.Connection) -> None:
        session = await self._open()
        try:
            # Where only the connection broke, the server may not know yet that its session is over.
            await session.fetchval(END_SESSION, lost.get_server_pid())
            # The server needs a moment to end the old session.
            for pause_s in (0.0, 0.1, 1.0, 2.0):
                await asyncio.sleep(pause_s)
                if await session.fetchval(TRY_LOCK):
                    self._session = session
                    return
        finally:
            if self._session is not session:
                session.terminate()  # not `close`, which waits for the server's goodbye
        raise BatchStopped("ledger", "another run took over the batch while its ledger was away; nothing is paid twice")

    async def _open(self) -> asyncpg.Connection:
        try:
            return await retry_database(is_away, self._away_s)(self._connect)
        except _REFUSALS as exc:
            raise self._explained(exc) from None

    def _away_s(self) -> float:
        return time.monotonic() - self._away_since_s if self.patient else inf

    async def _connect(self) -> asyncpg.Connection:
        try:
            connection = await self._connect_once()
        except _REFUSALS:
            # Shared by all connections, so that many of them do not each wait a minute.
            self._away_since_s = min(self._away_since_s, time.monotonic())
            raise
        self._away_since_s = inf
        return connection

    async def _connect_once(self) -> asyncpg.Connection:
        url = parse_database_url(self._place.url)
        connection = await asyncpg.connect(
            url.dsn,
            **({"ssl": "require"} if url.needs_tls else {}),
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=ANSWER_TIMEOUT_S,
            server_settings={
                "search_path": self._place.schema,
                "application_name": "imagen",
                "idle_in_transaction_session_timeout": f"{STUCK_S}s",
            },
        )
        await prepare_session(connection, self._place.schema)
        return connection

    def _explained(self, exc: Exception) -> ImagenError:
        words = f"{self._place} {explain_no_connection(exc, parse_database(self._place.url)[2])}"
        if self.patient:
            return BatchStopped("ledger", f"the ledger is away: {words}, then resume; nothing is paid twice")
        return ConfigError(f"ledger: {words}")


async def _is_alive(session: asyncpg.Connection) -> bool:
    """Ask it: one whose server ended it looks open until something is read from it."""
    with suppress(*_BREAKS):
        await session.execute("SELECT 1", timeout=CONNECT_TIMEOUT_S)
        return True
    return False


async def _prepare(engine: AsyncEngine, place: PostgresqlSchema, *, create: bool) -> None:
    known = read_pointer(place.out) is not None
    async with engine.begin() as db:
        version = await db.run_sync(read_version)
        require_known(version, str(place))
        if version == 0 and (known or not create):
            raise InputError(
                f"{place} has no ledger {place.schema} any more: restore it, or delete {place.out / POINTER_NAME} "
                "to begin anew, which pays for everything again"
            )
        # Locked only then: every worker comes through here, and the lock would line them up.
        if version != SCHEMA_VERSION:
            await db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))"), {"name": place.schema})
            await db.execute(text(f"CREATE SCHEMA IF NOT EXISTS {place.schema}"))
            await db.run_sync(bring_up_to_date)
    if not known:  # not before there is something that it leads to
        write_pointer(place)
