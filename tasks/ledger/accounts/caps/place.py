"""Opening the place where a batch counts: one for all batches that keep the same caps.

It is the database that the configuration names, else that of the ledger, else this machine's state folder. Where that
folder cannot be used, a run counts alone, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.configuration.settings import Settings
from tasks.core.errors import BatchStopped, ConfigError, InputError
from tasks.core.safe_text import database_error_text
from tasks.ledger.accounts.place import build_sqlite_writer, open_state_folder, prepare_tables
from tasks.ledger.accounts.predictions import SCHEMA
from tasks.ledger.database.location import PostgresqlSchema, remember_database, require_trusted_database
from tasks.ledger.database.writer import LedgerWriter, PostgresqlWriter

_UNUSABLE = (DBAPIError, OSError, BatchStopped, InputError)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingPlace:
    """The place where attempts are counted."""

    writer: LedgerWriter
    problem: str | None
    """The reason why other batches are not counted; None while they are."""
    state: LedgerWriter | None
    """This machine's state folder; None where it cannot be used."""

    @property
    def is_server(self) -> bool:
        """True where a PostgreSQL server counts, for whoever reaches it."""
        return isinstance(self.writer, PostgresqlWriter)


@asynccontextmanager
async def open_counting_place(
    settings: Settings, engine: AsyncEngine | None, *, is_worker: bool = False
) -> AsyncIterator[CountingPlace]:
    """The place where a batch counts, for the duration of the block.

    Args:
        settings: The configuration, or what a ledger has kept of it.
        engine: The batch's ledger; None where there is no batch, only a look.
        is_worker: It is for a run that goes on, which waits for a database that is away.

    Raises:
        ConfigError: The database that the configuration names cannot be used.
    """
    async with AsyncExitStack() as stack:
        state, problem = await _open_state(stack)
        # A ledger that is not in the state folder counts where it is; without one, `ledger` is all that is known.
        url = settings.caps_url if engine is None or settings.caps_database is not None else None
        if url is not None:
            is_own = await asyncio.to_thread(Path(settings.file).is_file)
            server = await stack.enter_async_context(_open_database(url, is_own=is_own, is_worker=is_worker))
            yield CountingPlace(writer=server, problem=None, state=state)
        elif engine is not None and engine.dialect.name != "sqlite":
            server = PostgresqlWriter(engine)
            try:
                await server.write(prepare_tables)
            except DBAPIError as exc:  # a role that may make no tables there can work on its ledger all the same
                problem = f"the ledger's database cannot be used for it ({database_error_text(exc)})"
                yield CountingPlace(writer=state or await _open_alone(stack), problem=problem, state=state)
            else:
                yield CountingPlace(writer=server, problem=None, state=state)
        else:
            yield CountingPlace(writer=state or await _open_alone(stack), problem=problem, state=state)


async def _open_state(stack: AsyncExitStack) -> tuple[LedgerWriter | None, str | None]:
    try:
        # After a power cut a charge that is missing would be spent a second time. An fsync for each group of charges costs
        # 0.3 % of a run's CPU time, with two caps and 64 in flight (2026-11).
        writer = await open_state_folder(is_durable=True)
        stack.push_async_callback(writer.close)
        await writer.write(prepare_tables)
    except _UNUSABLE as exc:
        return None, f"the state folder cannot be used ({database_error_text(exc)})"
    return writer, None


async def _open_alone(stack: AsyncExitStack) -> LedgerWriter:
    # In memory: where the state folder is full, another one may be full too.
    writer = build_sqlite_writer(Path(":memory:"))
    stack.push_async_callback(writer.close)
    await writer.write(prepare_tables)
    return writer


@asynccontextmanager
async def _open_database(url: str, *, is_own: bool, is_worker: bool) -> AsyncIterator[LedgerWriter]:
    from tasks.ledger.database.postgresql import Connector, make_engine  # noqa: PLC0415  its driver slows commands down

    place = PostgresqlSchema(out=Path(), url=url, schema=SCHEMA)
    if is_own:
        remember_database(url)
    else:
        require_trusted_database(place, f"`caps_database` leads to {place}")
    connector = Connector(place)
    connector.patient = is_worker
    engine = make_engine(connector)
    writer = PostgresqlWriter(engine)
    try:
        try:
            await writer.write(prepare_tables)
        except (DBAPIError, BatchStopped, ConfigError) as exc:
            words = database_error_text(exc).removeprefix("ledger: ")
            raise ConfigError(f"caps_database: {words if str(place) in words else f'{place}: {words}'}") from None
        # From here on money may be in flight, so an outage is waited for.
        connector.patient = True
        yield writer
    finally:
        await engine.dispose()
