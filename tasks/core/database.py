"""Addresses of PostgreSQL databases as users write them: checked, and shown without what is secret."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

DEFAULT_PORT = 5432
FORM = "postgresql://user@host:port/database"
_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
_SECRETS = ("password", "sslpassword")


def checked_url(text: str) -> str:
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


def without_password(url: str) -> str:
    """The URL as anybody may see it."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=user.partition(":")[0] + at + host).geturl()


def database_of(url: str) -> tuple[str, int, str]:
    """Host, port and name of the database: what makes two URLs lead to the same one."""
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or DEFAULT_PORT, parts.path.strip("/")
