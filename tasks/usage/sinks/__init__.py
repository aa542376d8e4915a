"""The sinks of usage rows, which are also read back from them: one file for each, behind one protocol.

One table of the same shape everywhere, `mai.imagen_usage` where the database has schemas. A row whose id is there
already is replaced, so a push may be repeated after any failure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tenacity import AsyncRetrying

from tasks.core.configuration.sections import UsageSettings
from tasks.usage.sinks.base import UsageSink


@asynccontextmanager
async def open_sink(settings: UsageSettings, *, retrying: AsyncRetrying) -> AsyncIterator[UsageSink | None]:
    """The configured sink for the duration of the block; None where usage is not kept.

    Args:
        settings: The sink and its place.
        retrying: See `tasks.core.retry.retry_usage`.

    Raises:
        UsageError: It cannot be opened.
    """
    # Only the sink in use is loaded: each brings a client that takes its time.
    match settings.sink:
        case "sqlite":
            from tasks.usage.sinks.sqlite import open_sqlite  # noqa: PLC0415

            async with open_sqlite(settings.database) as sqlite:
                yield sqlite
        case "postgres":
            from tasks.usage.sinks.postgres import open_postgres  # noqa: PLC0415

            async with open_postgres(settings, retrying) as postgres:
                yield postgres
        case "supabase":
            from tasks.usage.sinks.supabase import open_supabase  # noqa: PLC0415

            async with open_supabase(settings, retrying) as supabase:
                yield supabase
        case "none":
            yield None
