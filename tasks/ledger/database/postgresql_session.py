"""New connections made fit for a ledger: its schema, and no limits of time that were set for other programs."""

from __future__ import annotations

import asyncpg

from tasks.ledger.database.postgresql_errors import NOT_ITS_OWN

# A limit of the role or the database is meant for short statements. Here each statement has one of the driver's, and an
# idle session holds the lock. pg_settings has those that this version of the server knows.
_PREPARE = """
SELECT count(set_config(name, '0', false)), current_setting('search_path') FROM pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'transaction_timeout')
AND current_setting('search_path') = $1
"""


async def prepare_session(connection: asyncpg.Connection, schema: str) -> None:
    """Make a new connection fit for a ledger.

    Raises:
        asyncpg.InterfaceError: A pooler left out the schema: tables would be made in one that all batches share.
    """
    is_ready = False
    try:
        _, found = await connection.fetchrow(_PREPARE, schema)
        is_ready = found == schema
    finally:
        if not is_ready:
            connection.terminate()
    if not is_ready:
        raise asyncpg.InterfaceError(NOT_ITS_OWN)
