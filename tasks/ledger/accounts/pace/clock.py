"""The one clock that all processes on an account share."""

from __future__ import annotations

from sqlalchemy import Connection, text


def read_clock_s(db: Connection, own_s: float) -> float:
    """Seconds by the server's clock; by this machine's (`own_s`) where there is no server."""
    if db.dialect.name == "sqlite":
        return own_s
    # `now()` stands still in a transaction, and a turn would be taken too early.
    return float(db.execute(text("SELECT extract(epoch FROM clock_timestamp())::float8")).scalar_one())
