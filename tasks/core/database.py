"""What every user of a database needs: addresses without their secrets, error codes, and inserts that may meet a row.

A database's dialect is imported when its first such statement is made, so nobody waits for the one that is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.dialects import postgresql, sqlite

DEFAULT_PORT = 5432
FORM = "postgresql://user@host:port/database"
_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
_SECRETS = ("password", "sslpassword")

# Appendix A of PostgreSQL's manual (version 15, read 2026-11-24): the server shuts down, starts, has no connection
# left, or gave way to another transaction.
_AWAY_CODES = frozenset({"57P01", "57P02", "57P03", "40001", "40P01"})
_AWAY_CLASSES = frozenset({"08", "53"})


def check_database_url(text: str) -> str:
    """The URL in libpq's form.

    Raises:
        ValueError: It is not a URL of a PostgreSQL database; the text never shows it.
    """
    parts = urlsplit(text.strip())
    try:
        complete = parts.scheme in _SCHEMES and bool(parts.hostname) and bool(parts.path.strip("/")) and parts.port != 0
    except ValueError:  # a port that is no number
        complete = False
    if not complete:
        raise ValueError(f"is not the URL of a PostgreSQL database; write {FORM}")
    if secret := next((name for name in _SECRETS if name in parse_qs(parts.query)), None):
        raise ValueError(f"holds `{secret}` behind the question mark; use the variable PGPASSWORD or ~/.pgpass")
    return parts._replace(scheme=_SCHEMES[0]).geturl()


def hide_password(url: str) -> str:
    """The URL as anybody may see it."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=user.partition(":")[0] + at + host).geturl()


def parse_database(url: str) -> tuple[str, int, str]:
    """Host, port and name of the database: what makes two URLs lead to the same one."""
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or DEFAULT_PORT, parts.path.strip("/")


def is_away_code(code: str) -> bool:
    """True where a SQLSTATE means that the server is away, so trying again may help."""
    return code in _AWAY_CODES or code[:2] in _AWAY_CLASSES


def build_insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that can say what happens where the row exists.

    Args:
        dialect: `sqlite` or `postgresql`.
        table: Where the row goes.
    """
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415  see above

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  see above

    return postgresql.insert(table)
