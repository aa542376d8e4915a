"""The embedded sink: one SQLite file in the user's state folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tasks.core.errors import UsageError
from tasks.usage.sinks.sql import SCHEMA, SqlSink, metadata

BUSY_S = 30


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[SqlSink]:
    """The sink in this file, which is made where there is none.

    Raises:
        UsageError: It cannot be made, or is no database.
    """
    path = _prepare_folder(path)
    engine = create_async_engine(
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
            async with engine.begin() as db:
                await db.run_sync(metadata.create_all)
        yield SqlSink(engine, explained=explained)
    finally:
        await engine.dispose()


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
