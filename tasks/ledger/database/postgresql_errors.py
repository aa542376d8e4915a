"""The meaning of a PostgreSQL ledger's refusals, told without loading the server's driver."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from tasks.core.database import is_away_code as means_away
from tasks.core.database import is_ending
from tasks.core.errors import BatchStopped

_VALUE_CLASSES = ("22", "23")
"""Data exceptions and violated constraints (PostgreSQL's manual, Appendix A)."""
_NO_TLS = "rejected SSL upgrade"
"""asyncpg's words for a server that does not speak TLS."""
NOT_ITS_OWN = "a connection has no session of its own"
_PREPARED_CODES = ("26000", "42P05")
"""A prepared statement is not there, or is there already: a pooler gave the session to another connection."""
_NO_PARAMETER = "unsupported startup parameter"
"""pgbouncer's words for a session that needs settings of its own."""
_NO_POOLER = "put the address of the server itself into the URL"
_STOOD_STILL = "25P03"
"""The server gave up a transaction that did nothing for `STUCK_S`: its process was stopped, and may go on."""


def is_away(exc: BaseException) -> bool:
    """True if the server could not be reached or lost the connection, so that the same may help later."""
    if isinstance(exc, DBAPIError):
        return exc.connection_invalidated or is_ending(exc.orig) or is_away_code(getattr(exc.orig, "sqlstate", None))
    return isinstance(exc, OSError) or is_ending(exc) or is_away_code(getattr(exc, "sqlstate", None))


def is_away_code(code: str | None) -> bool:
    """True if a refusal with this SQLSTATE may be over later."""
    return code is not None and (code == _STOOD_STILL or means_away(code))


def is_refused_value(exc: DBAPIError) -> bool:
    """True where the database refused a value of the statement, so the same without that value may pass."""
    return str(getattr(exc.orig, "sqlstate", "")).startswith(_VALUE_CLASSES)


def explain_postgresql(exc: DBAPIError | OSError) -> BatchStopped:
    """The error that a user can act on, for a statement that the server did not carry out, or not in time."""
    words = (
        get_error_text(exc) if isinstance(exc, DBAPIError) else f"its server gave no answer: {_describe_silence(exc)}"
    )
    return BatchStopped(
        "ledger", f"the ledger cannot be used ({words}); correct the cause, then resume; nothing is paid twice"
    )


def _describe_silence(exc: OSError) -> str:
    return exc.strerror or type(exc).__name__


def get_error_text(exc: DBAPIError) -> str:
    """The server's own, without the class that SQLAlchemy puts before them."""
    return str(exc.orig).partition("\n")[0].rpartition("'>: ")[2]


def explain_no_connection(exc: Exception, database: str) -> str:
    """Explain why a server gave no connection, and what to do."""
    code = getattr(exc, "sqlstate", None) or ""
    words = (str(exc) or type(exc).__name__).partition("\n")[0]
    if code == "3D000":
        return f"has no database {database!r}: create it (createdb {database}) or correct the URL"
    if code.startswith("28"):
        return f"refuses ({words}): put the password into PGPASSWORD or ~/.pgpass, or correct the user in the URL"
    if _is_pooled(code, words):
        return f"is behind a pooler ({words}): {_NO_POOLER}"
    if _NO_TLS in words:
        return "has no TLS, and a password may go there: add ?sslmode=disable to `ledger` if its network is safe"
    if isinstance(exc, OSError) or is_away_code(code):
        return f"cannot be reached ({words}): start it or correct the URL"
    return f"refuses ({words}): correct the cause"


def _is_pooled(code: str, words: str) -> bool:
    return code in _PREPARED_CODES or _NO_PARAMETER in words or NOT_ITS_OWN in words


def explain_refusal(exc: DBAPIError) -> str:
    """Explain why a database that can be reached cannot hold a ledger, and what to do."""
    if getattr(exc.orig, "sqlstate", None) == "42501":
        return f"refuses ({get_error_text(exc)}): its user needs CREATE on the database: GRANT CREATE ON DATABASE ... TO ..."
    if _is_pooled(str(getattr(exc.orig, "sqlstate", "")), str(exc.orig)):
        return f"is behind a pooler ({get_error_text(exc)}): {_NO_POOLER}"
    return f"cannot be used ({get_error_text(exc)}): correct the cause"
