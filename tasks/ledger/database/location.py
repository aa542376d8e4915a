"""The place of a batch's ledger: SQLite's file in the output folder, or a schema of a PostgreSQL database.

A batch keeps the ledger that it began with. One on PostgreSQL leaves a pointer in the folder, so every command
finds it without a configuration; no password is ever in it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from tasks.core.atomic_files import write_atomically
from tasks.core.configuration import trust
from tasks.core.database import check_database_url, hide_password, parse_database, parse_database_url
from tasks.core.errors import ConfigError, InputError, OutputError
from tasks.core.paths import LEDGER_NAME, LOCK_NAME, POINTER_NAME, get_ledger_path, has_ledger, require_folder

NAME_CHARACTERS = 40
"""Of the output folder's name in that of its schema; PostgreSQL's names have 63 at most."""

# It is written into SQL as it is, so a pointer that was edited must not smuggle any in.
_SCHEMA = re.compile(r"imagen_[a-z0-9_]{1,56}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteFile:
    """A ledger in the batch's own folder."""

    out: Path

    @property
    def path(self) -> Path:
        """The database file."""
        return get_ledger_path(self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlSchema:
    """A ledger in a schema of its own, which several machines reach."""

    out: Path
    url: str = field(repr=False)
    """As the configuration has it; it may hold a password."""
    schema: str

    def __str__(self) -> str:
        """For messages: without the password."""
        return f"PostgreSQL at {hide_password(self.url)}"


LedgerPlace = SqliteFile | PostgresqlSchema


def find_ledger(out: Path, setting: str | None = None, *, is_trusted: bool = False) -> LedgerPlace:
    """Find the ledger of the batch in `out`.

    Args:
        out: The output folder.
        setting: `ledger` of the configuration, which may hold the password; it has to lead to the same database.
        is_trusted: The caller got the folder from a run of this user's.

    Raises:
        InputError: The folder holds no batch, or one whose ledger is somewhere else than the setting says.
        ConfigError: As `locate_ledger`.
    """
    require_ledger(out)
    return locate_ledger(out, setting, is_trusted=is_trusted)


def locate_ledger(out: Path, setting: str | None, *, is_trusted: bool = False) -> LedgerPlace:
    """Find the ledger of `out`, or choose the place of a new batch's.

    Raises:
        InputError: The ledger's place is taken by something that is no file, or the pointer there cannot be read.
        ConfigError: The batch has its ledger somewhere else than the setting says, or on a server that this user has
            never named: it would get the user's password.
    """
    has_ledger(out)  # refuses what is no file
    known = read_pointer(out)
    if known is not None:
        if setting is None:
            if not is_trusted:
                require_trusted_database(known, f"{out / POINTER_NAME} leads to {known}")
            return known
        # User and password may differ; host, port and database say which database it is.
        if parse_database(setting) != parse_database(known.url):
            raise ConfigError(
                f"ledger: leads to {hide_password(setting)}, but the batch in {out} has its ledger in "
                f"{known}; use another output folder or that database (if the database has moved, correct {POINTER_NAME})"
            )
        remember_database(setting)
        return PostgresqlSchema(out=out, url=setting, schema=known.schema)
    if setting is None:
        return SqliteFile(out=out)
    # Two ledgers of one batch would each pay for its jobs.
    if get_ledger_path(out).exists():
        raise ConfigError(
            f"ledger: leads to {hide_password(setting)}, but the batch in {out} has its ledger in "
            f"{LEDGER_NAME} there; use another output folder or take the setting away"
        )
    remember_database(setting)
    return PostgresqlSchema(out=out, url=setting, schema=make_schema_name(out))


def require_trusted_database(place: PostgresqlSchema, named: str) -> None:
    """Check that the user has named the database before; a server on this machine needs no trust.

    Args:
        place: The database.
        named: For the message: where it is named.

    Raises:
        ConfigError: The user has not. Nothing was sent there.
    """
    # A pointer comes with the folder, which may be somebody else's: libpq would send this user's password there.
    if parse_database_url(place.url).is_on_this_machine:
        return
    own = trust.load_own_settings()
    if parse_database(place.url) in {parse_database(url) for url in (own.ledger_url, own.caps_url) if url is not None}:
        return
    if not trust.is_trusted("databases", _name_database(place.url)):
        raise ConfigError(
            f"{named}, which you have not used on this machine: nothing was sent there. Name it as `ledger` in your configuration; {trust.HOW_TO_TRUST}"
        )
    remember_database(place.url)


def remember_database(url: str) -> None:
    """Trust a database that the user's own configuration names."""
    trust.remember("databases", _name_database(url))


def _name_database(url: str) -> str:
    host, port, database = parse_database(url)
    return f"{host}:{port}/{database}"


def require_ledger(out: Path) -> None:
    """Pass when the folder holds a batch.

    Raises:
        InputError: It does not, or does not exist.
    """
    if not has_ledger(out):
        if os.path.lexists(out / LOCK_NAME):  # not a method of `Path`, which raises where a name is too long
            raise InputError(
                f"{out}: a run locked this folder and has not made its ledger yet, so nothing was paid here. Wait a moment "
                "if it is starting; if it was killed, run its manifest again"
            )
        raise InputError(f"{out}: is not the output folder of a batch (it has no {LEDGER_NAME} and no {POINTER_NAME})")


def make_schema_name(out: Path) -> str:
    """A schema's name that people know the folder by, and that no other batch has had."""
    from slugify import slugify  # noqa: PLC0415  every command loads this module, and few need a new name

    name = slugify(out.resolve().name, separator="_")[:NAME_CHARACTERS].strip("_")
    return "_".join(part for part in ("imagen", name, secrets.token_hex(4)) if part)


def read_pointer(out: Path) -> PostgresqlSchema | None:
    """Read where the folder's pointer leads; None where it has none.

    Raises:
        InputError: It cannot be read.
    """
    require_folder(out)
    path = out / POINTER_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        url, schema = check_database_url(record["url"]), _SCHEMA.fullmatch(record["schema"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise InputError(f"{path}: does not lead to a ledger ({exc}); restore it or use another folder") from None
    if schema is None:
        raise InputError(f"{path}: does not lead to a ledger (its schema is none of imagen's); restore it")
    return PostgresqlSchema(out=out, url=url, schema=schema.group())


def write_pointer(place: PostgresqlSchema) -> None:
    """Leave the way to the ledger in the batch's folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    # Folders are copied and shared.
    record = {"url": hide_password(place.url), "schema": place.schema}
    try:
        write_atomically(place.out / POINTER_NAME, (json.dumps(record, indent=2) + "\n").encode())
    except OSError as exc:
        raise OutputError(f"{place.out}: cannot be written ({exc.strerror}); choose another folder with --out") from exc
