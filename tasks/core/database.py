"""Database code that several rooms need: addresses without secrets, error codes, and inserts that may meet a row.

A database's dialect is imported when its first such statement is made, so nobody waits for the one that is not used.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Table
    from sqlalchemy.dialects import postgresql, sqlite

DEFAULT_PORT = 5432
FORM = "postgresql://user@host:port/database"
_SECRETS = ("password", "sslpassword")  # libpq takes them as parameters too
LAST_PORT = 65_535
_URL = re.compile(
    r"(?:postgresql(?:\+asyncpg)?|postgres)://"
    # Greedy: the last @ ends the login, so a password may hold one.
    r"(?:(?P<login>.*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::(?P<port>[0-9]{1,5}))?"
    r"/(?P<database>[^/?#@\s]+)/?(?:\?(?P<query>[^@\s]*))?",
    re.DOTALL,
)

# Appendix A of PostgreSQL's manual (version 15, read 2026-11-24): the server shuts down, starts, has no connection
# left, gave way to another transaction, cancelled a statement that took too long, or takes no writes while it fails over.
_AWAY_CODES = frozenset({"57P01", "57P02", "57P03", "57014", "25006", "40001", "40P01"})
_AWAY_CLASSES = frozenset({"08", "53"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """The URL of a PostgreSQL database, taken apart; as text it shows no secret."""

    user: str | None
    password: str | None = field(repr=False)
    host: str
    """Empty where `query` names it."""
    port: int | None
    database: str
    query: str = field(repr=False)

    @property
    def dsn(self) -> str:
        """The URL as drivers read it, with every part quoted; it holds the password."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        return self._build(secret)

    @property
    def place(self) -> tuple[str, int, str]:
        """Host, port and name of the database: what makes two URLs lead to the same one."""
        return self.host.lower(), self.port or DEFAULT_PORT, self.database

    @property
    def is_on_this_machine(self) -> bool:
        """True where nothing that is sent leaves this machine."""
        # An IPv6 address stands in brackets.
        host = (self.host or self.get_option("host") or "").strip("[]").lower()
        if host == "localhost" or host.startswith("/"):  # a socket in a folder
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def needs_tls(self) -> bool:
        """True where a password would cross a network in clear, and neither the URL nor PGSSLMODE says that it may."""
        # libpq's default, `prefer`, falls back to clear text without a word.
        is_stated = self.get_option("sslmode") is not None or "PGSSLMODE" in os.environ
        return not (is_stated or self.is_on_this_machine)

    def get_option(self, name: str) -> str | None:
        """A parameter behind the question mark."""
        return parse_qs(self.query).get(name, [None])[0]

    def __str__(self) -> str:
        """The URL as anybody may see it: without its password."""
        return self._build("")

    def _build(self, secret: str) -> str:
        user = "" if self.user is None else f"{quote(self.user, safe='')}{secret}@"
        port = "" if self.port is None else f":{self.port}"
        query = f"?{self.query}" if self.query else ""
        return f"postgresql://{user}{self.host}{port}/{quote(self.database, safe='')}{query}"


def parse_database_url(text: str) -> DatabaseUrl:
    """Take a URL apart. A password needs no quoting: whatever stands before the last @ of the host is user and password.

    Raises:
        ValueError: It is not a URL of a PostgreSQL database; the message shows no part of it.
    """
    match = _URL.fullmatch(text.strip())
    port = int(match["port"]) if match and match["port"] else None
    # No part of the text in the message: it may be a password in the wrong place.
    if match is None or port == 0 or (port or 0) > LAST_PORT or not _names_host(match):
        raise ValueError(f"is not the URL of a PostgreSQL database; write {FORM}")
    user, colon, password = (match["login"] or "").partition(":")
    return DatabaseUrl(
        user=unquote(user) or None,
        password=unquote(password) if colon else None,
        host=match["host"],
        port=port,
        database=unquote(match["database"]),
        query=match["query"] or "",
    )


def _names_host(match: re.Match[str]) -> bool:
    if not match["host"]:
        return "host=" in (match["query"] or "")
    try:
        # Encoded now: a label that is too long would break the driver in the middle of a run.
        return match["host"].startswith("[") or bool(match["host"].encode("idna"))
    except UnicodeError:
        return False


def check_database_url(text: str) -> str:
    """The URL of a ledger in libpq's form, every part of it quoted.

    Raises:
        ValueError: It is not a URL of a PostgreSQL database; the message shows no part of it.
    """
    url = parse_database_url(text)
    if not url.host:
        raise ValueError(f"is not the URL of a PostgreSQL database; write {FORM}")
    if secret := next((name for name in _SECRETS if url.get_option(name) is not None), None):
        raise ValueError(f"holds `{secret}` behind the question mark; use the variable PGPASSWORD or ~/.pgpass")
    return url.dsn


def hide_password(url: str) -> str:
    """The URL as anybody may see it."""
    return str(parse_database_url(url))


def parse_database(url: str) -> tuple[str, int, str]:
    """Host, port and name of the database: what makes two URLs lead to the same one."""
    return parse_database_url(url).place


def is_away_code(code: str) -> bool:
    """True where a SQLSTATE means that the server is away, so trying again may help."""
    return code in _AWAY_CODES or code[:2] in _AWAY_CLASSES


def is_ending(exc: BaseException | None) -> bool:
    """True for what asyncpg raises about a connection that its server is ending just now, so another may serve.

    It has no SQLSTATE. SQLAlchemy 2.1 has a class of the same name for it; 2.0 may pass it on as it is. The type is not asked,
    for that would load the driver.
    """
    return type(exc).__name__ == "InternalClientError"


def list_sqlite_files(path: Path) -> tuple[Path, Path, Path]:
    """The files of a SQLite database: itself, its log and the index of that; the last two may be missing."""
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


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


def read_now_us(db: Connection, own_us: int) -> int:
    """The time by the one clock that all writers share: the server's, or this machine's (`own_us`)."""
    if db.dialect.name == "sqlite":
        return own_us
    now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    return int(db.exec_driver_sql(now).scalar_one())
