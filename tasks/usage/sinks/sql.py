"""The usage table in a database that SQLAlchemy speaks to: one code for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Column,
    Dialect,
    Index,
    MetaData,
    Numeric,
    Select,
    String,
    Table,
    Text,
    Uuid,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeDecorator, TypeEngine
from tenacity import AsyncRetrying, stop_after_attempt

from tasks.core.clock import to_instant
from tasks.core.database import build_insert
from tasks.core.errors import UsageError
from tasks.core.money import MICROS_PER_USD, MOST_USD
from tasks.core.records import JobState
from tasks.core.safe_text import error_text
from tasks.usage.groups import Sums, UsageGroup, build_groups
from tasks.usage.query import DATED_KEYS, UsageQuery, format_date
from tasks.usage.rows import ANSWERED, MOST_LATENCY_MS, UsageRow, parse_row

SCHEMA = "mai"
CHANGING = ("created_at", "latency_ms", "cost_usd_estimate", "status", "batch")
"""Columns of a row that can be another when it is pushed again."""


class _Instant(TypeDecorator[datetime]):
    """An aware instant: `timestamptz`, or in SQLite UTC text with microseconds always written, which sorts as time."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of the column."""
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(TIMESTAMP(timezone=True) if native else String(32))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Convert for writing."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Convert after reading."""
        try:
            return datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            return None  # another program's; the row is refused with its name


metadata = MetaData(schema=SCHEMA)
imagen_usage = Table(
    "imagen_usage",
    metadata,
    Column("id", String(36).with_variant(Uuid(as_uuid=False), "postgresql"), primary_key=True),
    Column("created_at", _Instant, nullable=False),
    Column("backend", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("seed", BigInteger),
    Column("prompt_hash", Text, nullable=False),
    Column("latency_ms", BigInteger),
    # Six digits after the point are a millionth of a dollar, as the ledger counts.
    Column("cost_usd_estimate", Numeric(12, 6, asdecimal=False)),
    Column("caller", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=JobState.SUCCEEDED.value),
    Column("batch", Text, nullable=False, server_default=""),
    Column("deployment", Text, nullable=False, server_default=""),
)
"""In PostgreSQL the migrations make it; in SQLite it has no schema and is made when the file is opened."""
Index("imagen_usage_created_at", imagen_usage.c.created_at.desc())
Index("imagen_usage_caller", imagen_usage.c.caller)


class SqlSink:
    """The table through an engine."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        explained: Callable[[], AbstractContextManager[None]],
        retrying: AsyncRetrying | None = None,
    ) -> None:
        """Use an engine; `explained` turns the database's errors into ours, `retrying` repeats what may be repeated."""
        self._engine = engine
        self._explained = explained
        # Without a retrying of its own a sink tries once: the caller decides how often.
        self._retrying = retrying or AsyncRetrying(stop=stop_after_attempt(1), reraise=True)
        self._native = engine.dialect.name == "postgresql"

    async def push(self, rows: Sequence[UsageRow]) -> None:
        """See `UsageSink.push`."""
        await self._retrying(self._insert, [_build_values(row) for row in rows])

    async def groups(self, query: UsageQuery) -> list[UsageGroup]:
        """See `UsageSink.groups`."""
        table = imagen_usage.c
        keys = [self._minute() if name in DATED_KEYS else table[name] for name in query.by]
        has_image, is_answer = table.status == JobState.SUCCEEDED, table.status == ANSWERED
        sums = (
            func.count().filter(has_image),
            func.count().filter(~has_image & ~is_answer),
            func.count().filter(is_answer),
            func.sum(table.cost_usd_estimate),
            func.count() - func.count(table.cost_usd_estimate),
            func.sum(table.latency_ms).filter(has_image),
            func.count(table.latency_ms).filter(has_image),
            # SQLite keeps texts in columns of numbers, and adds them up as 0.
            func.count().filter(~table.cost_usd_estimate.between(-MOST_USD, MOST_USD)),
            func.count().filter(~table.latency_ms.between(0, MOST_LATENCY_MS)),
        )
        statement = _filter_window(select(*keys, *sums).group_by(*keys), query)
        found: Sequence[Any] = await self._retrying(self._all, statement)
        groups: dict[tuple[str, ...], Sums] = {}
        try:
            for row in found:
                # Aggregates are computed in UTC and put together by the reader's days here: no server knows the
                # reader's zone.
                key = tuple(_format_key(name, value) for name, value in zip(query.by, row, strict=False))
                group = groups.setdefault(key, Sums())
                group += _parse_sums(row[len(keys) :])
        except (TypeError, ValueError, OverflowError) as exc:
            reason = "the usage table holds a value that no run writes"
            raise UsageError(f"{reason} ({error_text(exc)}); `imagen usage --raw` names the row") from exc
        return build_groups(groups.items())

    async def rows(self, query: UsageQuery) -> AsyncIterator[UsageRow]:
        """See `UsageSink.rows`."""
        newest_first = select(imagen_usage).order_by(imagen_usage.c.created_at.desc(), imagen_usage.c.id.desc())
        with self._explained():
            async with self._engine.connect() as db:
                async for row in (await db.stream(_filter_window(newest_first, query))).mappings():
                    yield parse_row(row)

    async def _insert(self, values: list[dict[str, object]]) -> None:
        insert = build_insert(self._engine.dialect.name, imagen_usage)
        # An attempt that has ended anew since it was pushed replaces its row; one that was pushed twice stays as it is.
        statement = insert.on_conflict_do_update(
            index_elements=["id"],
            set_={name: insert.excluded[name] for name in CHANGING},
        )
        with self._explained():
            async with self._engine.begin() as db:
                await db.execute(statement, values)

    async def _all(self, statement: Select[Any]) -> Sequence[Any]:
        with self._explained():
            async with self._engine.connect() as db:
                rows: Sequence[Any] = (await db.execute(statement)).all()
        return rows

    def _minute(self) -> Any:
        """The minute of UTC: every time zone's days begin with one."""
        created_at = imagen_usage.c.created_at
        if self._native:
            return func.to_char(func.timezone("UTC", created_at), 'YYYY-MM-DD"T"HH24:MI')
        return func.substr(created_at, 1, 16, type_=String)


def _format_key(name: str, value: Any) -> str:
    return format_date(name, datetime.fromisoformat(f"{value}+00:00")) if name in DATED_KEYS else str(value)


def _parse_sums(row: Sequence[Any]) -> Sums:
    images, failures, answers, cost_usd, unknown, latency_ms, timed, odd_costs, odd_latencies = row
    if odd_costs or odd_latencies:
        raise ValueError("a cost or a latency that cannot be")
    return Sums(
        images=images,
        failures=failures,
        answers=answers,
        cost_micros=round((cost_usd or 0) * MICROS_PER_USD),
        cost_unknown=unknown,
        latency_ms=float(latency_ms or 0),
        timed=timed,
    )


def _filter_window(statement: Select[Any], query: UsageQuery) -> Select[Any]:
    created_at = imagen_usage.c.created_at
    if query.since is not None:
        statement = statement.where(created_at >= query.since)
    return statement if query.until is None else statement.where(created_at < query.until)


def _build_values(row: UsageRow) -> dict[str, object]:
    """Build the values of the columns, the cost exact to the millionth."""
    # As decimal: a cost that went through a float would be a penny off in the sum of a year.
    cost = None if row.cost_micros is None else Decimal(row.cost_micros) / MICROS_PER_USD
    return row.as_dict() | {"created_at": to_instant(row.created_at_us), "cost_usd_estimate": cost}
