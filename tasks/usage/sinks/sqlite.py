"""The embedded sink: one SQLite file in the user's state folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, DefaultClause, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from tasks.core.errors import UsageError
from tasks.usage.sinks.sql import SCHEMA, SqlSink, imagen_usage

# Seconds; another run of the same user may be writing its rows.
BUSY_S = 30


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[SqlSink]:
    """The sink in this file, which is made where there is none.

    Raises:
        UsageError: It cannot be made, is no database, or has another program's table of that name.
    """
    path = _prepare_folder(path)
    engine = create_async_engine(
        # The schema is PostgreSQL's; in SQLite the file is the schema.
        URL.create("sqlite+aiosqlite", database=str(path)),
        connect_args={"timeout": BUSY_S},
        execution_options={"schema_translate_map": {SCHEMA: None}},
    )

    @contextmanager
    def explained() -> Iterator[None]:
        try:
            yield
        except DBAPIError as exc:
            raise UsageError(f"{path}: the usage database cannot be used ({exc.orig}); set usage.path") from exc

    try:
        with explained():
            async with engine.connect() as db:
                await db.run_sync(_prepare_table, path)
        yield SqlSink(engine, explained=explained)
    finally:
        await engine.dispose()


def _prepare_table(db: Connection, path: Path) -> None:
    """Make the table, or add to an older one what it lacks; one process at a time, others wait for it."""
    # Autocommit, because the two statements below have to be in one transaction that we write ourselves.
    db = db.execution_options(isolation_level="AUTOCOMMIT")
    # A transaction that begins with a read cannot wait for another's write: two first runs would refuse each other.
    db.exec_driver_sql("BEGIN IMMEDIATE")
    db.execute(CreateTable(imagen_usage, if_not_exists=True))
    there = {column["name"] for column in inspect(db).get_columns(imagen_usage.name)}
    for column in imagen_usage.columns:
        if column.name in there:
            continue
        # Columns that came later have a default, so that rows of older versions stay valid.
        if not isinstance(column.server_default, DefaultClause):
            raise UsageError(
                f"{path}: the table {imagen_usage.name} there is another program's, for it has no column "
                f"{column.name}; set usage.path"
            )
        db.exec_driver_sql(
            f"ALTER TABLE imagen_usage ADD COLUMN {column.name} TEXT NOT NULL DEFAULT '{column.server_default.arg}'"
        )
    for index in imagen_usage.indexes:
        db.execute(CreateIndex(index, if_not_exists=True))
    db.exec_driver_sql("COMMIT")


def _prepare_folder(path: Path) -> Path:
    """The file's path spelled out, in a folder that is there."""
    try:
        path = path.expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{path.parent}: cannot be made ({exc.strerror}); set usage.path") from exc
    except RuntimeError as exc:
        raise UsageError(f"{path}: nobody knows this home folder; set usage.path") from exc
    return path
