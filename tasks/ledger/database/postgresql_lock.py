"""One living run for each batch on PostgreSQL: an advisory lock of the server, named by the batch's schema.

A module of its own, so that a look at the lock does not load the server's driver.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK_KEY = "hashtextextended(current_schema(), 0)"
TRY_LOCK = f"SELECT pg_try_advisory_lock({_LOCK_KEY})"
# The newest run wrote its process and host before anything else.
HOLDER = "SELECT format('process %s on %s', pid, host) FROM runs ORDER BY number DESC LIMIT 1"
# The server shows a 64-bit key as two halves.
_LOCKS = (
    "FROM pg_locks JOIN pg_database ON pg_database.oid = database AND datname = current_database() "
    "WHERE locktype = 'advisory' AND (CAST(classid AS bigint) << 32) | CAST(objid AS bigint)"
)
_HELD = f"{_LOCKS} = {_LOCK_KEY}"
IS_HELD = f"SELECT count(*) > 0 {_LOCKS} = hashtextextended(:schema, 0)"
"""True while a living run holds the ledger of the schema with that name in this database."""
END_SESSION = f"SELECT pg_terminate_backend(pid) {_HELD} AND pid = $1"


async def is_held(engine: AsyncEngine) -> bool:
    """True if a living run holds the ledger that `engine` opens, wherever it runs."""
    async with engine.connect() as db:
        return bool((await db.execute(text(f"SELECT count(*) {_HELD}"))).scalar())
