"""Where usage rows go, and how they are read back.

One table of the same shape everywhere (`mai.imagen_usage` where the database has schemas). A row whose id is
there already is left alone, so a push may be repeated after any failure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Numeric, Select, String, Table, Text, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tasks.clock import instant
from tasks.errors import UsageError
from tasks.records import MICROS_PER_USD, micros, usd
from tasks.settings import UsageSettings
from tasks.usage.rows import UsageRow

PAGE_ROWS = 1_000

_metadata = MetaData()
imagen_usage = Table(
    "imagen_usage",
    _metadata,
    Column("id", String(36), primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("backend", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("seed", BigInteger),
    Column("prompt_hash", String(64), nullable=False),
    Column("latency_ms", Integer),
    Column("cost_usd_estimate", Numeric(12, 6, asdecimal=False)),
    Column("caller", Text),
)
Index("imagen_usage_created_at", imagen_usage.c.created_at.desc())
Index("imagen_usage_caller", imagen_usage.c.caller)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageGroup:
    """Usage added up over one backend, model and caller."""

    backend: str
    model: str
    caller: str
    images: int
    cost_micros: int
    """Sum of the known costs."""
    cost_unknown: int
    """Images whose cost is not known."""
    latency_ms: float | None
    """Mean over the images."""


class UsageSink(Protocol):
    """Something that keeps usage rows."""

    async def push(self, rows: Sequence[UsageRow]) -> None:
        """Keep these rows; known ids are left alone.

        Raises:
            UsageError: It could not; nothing or something was kept, and pushing again is safe.
        """

    async def groups(self, since: datetime | None) -> list[UsageGroup]:
        """Usage from an instant on, added up; the dearest first."""

    def rows(self, since: datetime | None) -> AsyncIterator[UsageRow]:
        """Usage from an instant on, row by row, the newest first."""


class SqliteSink:
    """The embedded sink: one SQLite file in the user's state folder."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine whose tables exist."""
        self._engine = engine

    async def push(self, rows: Sequence[UsageRow]) -> None:
        """See `UsageSink.push`."""
        statement = sqlite.insert(imagen_usage).on_conflict_do_nothing(index_elements=[imagen_usage.c.id])
        try:
            async with self._engine.begin() as db:
                await db.execute(statement, [_values(row) for row in rows])
        except DBAPIError as exc:
            raise UsageError(f"the usage database refused the rows ({exc.orig})") from exc

    async def groups(self, since: datetime | None) -> list[UsageGroup]:
        """See `UsageSink.groups`."""
        table = imagen_usage.c
        cost = func.coalesce(func.sum(table.cost_usd_estimate), 0)
        keys = (table.backend, table.model, table.caller)
        sums = (func.count(), cost, func.count() - func.count(table.cost_usd_estimate), func.avg(table.latency_ms))
        query = select(*keys, *sums).group_by(*keys).order_by(cost.desc(), func.count().desc(), *keys)
        async with self._engine.connect() as db:
            return [
                UsageGroup(
                    backend=row[0],
                    model=row[1],
                    caller=row[2],
                    images=row[3],
                    cost_micros=round(row[4] * MICROS_PER_USD),
                    cost_unknown=row[5],
                    latency_ms=row[6],
                )
                for row in await db.execute(_from(query, since))
            ]

    async def rows(self, since: datetime | None) -> AsyncIterator[UsageRow]:
        """See `UsageSink.rows`."""
        query = select(imagen_usage).order_by(imagen_usage.c.created_at.desc(), imagen_usage.c.id)
        async with self._engine.connect() as db:
            async for row in await db.stream(_from(query, since)):
                yield UsageRow(
                    id=row.id,
                    created_at_us=_us(row.created_at),
                    backend=row.backend,
                    model=row.model,
                    seed=row.seed,
                    prompt_hash=row.prompt_hash,
                    latency_ms=row.latency_ms,
                    cost_micros=micros(row.cost_usd_estimate),
                    caller=row.caller,
                )


@asynccontextmanager
async def open_sink(settings: UsageSettings) -> AsyncIterator[UsageSink | None]:
    """The configured sink for the duration of the block; None where usage is not kept.

    Raises:
        UsageError: It cannot be opened.
    """
    if settings.sink == "none":
        yield None
        return
    path = settings.database
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{path.parent}: cannot be made ({exc.strerror}); set usage.path") from exc
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": 30})
    try:
        async with engine.begin() as db:
            await db.run_sync(_metadata.create_all)
        yield SqliteSink(engine)
    except DBAPIError as exc:
        raise UsageError(f"{path}: the usage database cannot be used ({exc.orig}); set usage.path") from exc
    finally:
        await engine.dispose()


def _from(query: Select[Any], since: datetime | None) -> Select[Any]:
    return query if since is None else query.where(imagen_usage.c.created_at >= _iso(since))


def _values(row: UsageRow) -> dict[str, object]:
    return {
        "id": row.id,
        "created_at": _iso(instant(row.created_at_us)),
        "backend": row.backend,
        "model": row.model,
        "seed": row.seed,
        "prompt_hash": row.prompt_hash,
        "latency_ms": row.latency_ms,
        "cost_usd_estimate": usd(row.cost_micros),
        "caller": row.caller,
    }


def _iso(moment: datetime) -> str:
    """UTC with microseconds always written, so that text sorts as time."""
    return moment.isoformat(timespec="microseconds")


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)
