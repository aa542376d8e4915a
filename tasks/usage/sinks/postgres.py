"""The sink in a PostgreSQL database, reached by its URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tenacity import AsyncRetrying

from tasks.core.configuration.sections import UsageSettings
from tasks.core.database import is_away_code, is_ending, parse_database_url
from tasks.core.errors import UsageAway, UsageError, UsageRefused
from tasks.usage.sinks.refusals import Place, find_reason, read_variable
from tasks.usage.sinks.sql import SqlSink

# Seconds. A database that does not answer by then is away.
CONNECT_TIMEOUT_S = 10.0
# Seconds for one statement; a page of 500 rows takes well under one.
ANSWER_TIMEOUT_S = 60.0


class Database:
    """A PostgreSQL database by its URL; nothing is connected before it is used."""

    def __init__(self, url: str, *, named: str) -> None:
        """Take the URL in libpq's form (or SQLAlchemy's); `named` is the variable or option that it comes from.

        Raises:
            UsageRefused: It is not such a URL.
        """
        try:
            parts = parse_database_url(url)
        except ValueError:
            raise UsageRefused(
                "setting", f"{named} is not a PostgreSQL URL; write postgresql://user:password@host/database"
            ) from None
        self._url, self._needs_tls = parts.dsn, parts.needs_tls
        host = parts.host or parts.get_option("host")
        self.place = Place(f"PostgreSQL at {host}/{parts.database}", address=named, key=named)

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[AsyncEngine]:
        """An engine for the duration of the block.

        Statements are prepared under names of their own and not kept, so a pooler that hands connections round
        between transactions (Supabase's, pgbouncer) serves as well.
        """
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            connect_args={
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": lambda: f"imagen_{uuid4()}",
            },
        )
        try:
            yield engine
        finally:
            await engine.dispose()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the database's errors into ours for the duration of the block.

        Raises:
            UsageAway, UsageRefused: By SQLSTATE.
        """
        try:
            yield
        except DBAPIError as exc:
            # A broken connection has no SQLSTATE: SQLAlchemy marks it as invalidated.
            code = getattr(exc.orig, "sqlstate", None)
            raise self._explain(code, str(exc.orig), lost=exc.connection_invalidated or is_ending(exc.orig)) from exc
        # SQLAlchemy 2.0 passes on as it is what asyncpg raises while it connects; 2.1 makes a DBAPIError of it.
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise self._explain(getattr(exc, "sqlstate", None), str(exc)) from exc
        except (OSError, asyncpg.InternalClientError) as exc:
            raise UsageAway(f"{self.place.name} cannot be reached ({str(exc) or type(exc).__name__})") from exc

    def _explain(self, code: str | None, words: str, *, lost: bool = False) -> UsageError:
        first_line = words.partition("\n")[0]
        if lost or is_away_code(code or ""):
            return UsageAway(f"{self.place.name} is away ({first_line})")
        return self.place.refused(find_reason(code or ""), first_line)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=ANSWER_TIMEOUT_S,
            statement_cache_size=0,
            # Required only where the URL asks for it: many servers in a private network have no certificate.
            **({"ssl": "require"} if self._needs_tls else {}),
        )


@asynccontextmanager
async def open_postgres(settings: UsageSettings, retrying: AsyncRetrying) -> AsyncIterator[SqlSink]:
    """The sink in the database that the environment variable leads to; nothing is connected before it is used.

    Raises:
        UsageRefused: The variable is missing or holds no such URL.
    """
    name = settings.database_url_env
    url = read_variable(name, "usage.database_url_env", needed_by="the usage sink `postgres`")
    database = Database(url, named=name)
    async with database.engine() as engine:
        yield SqlSink(engine, explained=database.explained, retrying=retrying)
