"""The version of a ledger's tables: made new, brought up to date, or refused."""

from __future__ import annotations

import secrets
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select, text, update

from tasks.core.errors import InputError
from tasks.ledger.database.schema import CLAIMED_INDEX, PREDICTION_INDEXES, SCHEMA_VERSION, batch_identity, metadata

_STEPS: dict[int, tuple[str, ...]] = {
    2: (
        "ALTER TABLE jobs ADD COLUMN claimed_by TEXT",
        "ALTER TABLE jobs ADD COLUMN lease_until_us BIGINT",
        "ALTER TABLE jobs ADD COLUMN fallbacks TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE jobs ADD COLUMN rerouted_from TEXT",
        "ALTER TABLE jobs ADD COLUMN input_image TEXT",
        "ALTER TABLE jobs ADD COLUMN input_image_sha256 VARCHAR(64)",
        "ALTER TABLE jobs ADD COLUMN input_mask TEXT",
        "ALTER TABLE jobs ADD COLUMN input_mask_sha256 VARCHAR(64)",
        CLAIMED_INDEX,
    ),
    3: (
        "ALTER TABLE attempts ADD COLUMN sent_at_us BIGINT",
        "CREATE TABLE batch_identity (batch VARCHAR(32) NOT NULL PRIMARY KEY)",
        *PREDICTION_INDEXES,
    ),
    4: (
        """CREATE TABLE verdicts (job_id VARCHAR(64) NOT NULL, at_us BIGINT NOT NULL, reviewer TEXT NOT NULL,
        verdict VARCHAR(8), rating INTEGER, note TEXT, PRIMARY KEY (job_id, at_us, reviewer))""",
    ),
    5: ("ALTER TABLE runs ADD COLUMN list_prices TEXT NOT NULL DEFAULT '{}'",),
    6: (
        """CREATE TABLE scores (job_id VARCHAR(64) NOT NULL, sha256 VARCHAR(64) NOT NULL, name VARCHAR(64) NOT NULL,
        results TEXT NOT NULL, at_us BIGINT NOT NULL, PRIMARY KEY (job_id, sha256, name))""",
    ),
    7: (
        "ALTER TABLE jobs ADD COLUMN reused_from TEXT",
        "ALTER TABLE runs ADD COLUMN deployment TEXT NOT NULL DEFAULT ''",
    ),
    8: ("ALTER TABLE jobs ADD COLUMN provenance TEXT",),
    9: ("ALTER TABLE runs ADD COLUMN frees_at_us BIGINT",),
    10: ("ALTER TABLE runs ADD COLUMN plan_digest TEXT", "ALTER TABLE runs ADD COLUMN table_state TEXT"),
    11: (
        """CREATE TABLE comparisons (first_sha256 VARCHAR(64) NOT NULL, second_sha256 VARCHAR(64) NOT NULL,
        at_us BIGINT NOT NULL, reviewer TEXT NOT NULL, first_job VARCHAR(64) NOT NULL, second_job VARCHAR(64) NOT NULL,
        answer VARCHAR(8), PRIMARY KEY (first_sha256, second_sha256, at_us, reviewer))""",
    ),
}
"""Statements that bring the tables of the previous version to this one."""

_OLDEST = min(_STEPS) - 1
_versions = Table("ledger_version", MetaData(), Column("version", Integer, nullable=False))
"""PostgreSQL keeps the version in this table's only row; SQLite keeps it in the file's header."""


def read_version(db: Connection) -> int:
    """The ledger version of the database; 0 before the tables exist."""
    if db.dialect.name == "sqlite":
        return int(db.execute(text("PRAGMA user_version")).scalar_one())
    if db.execute(text("SELECT to_regclass(quote_ident(current_schema()) || '.ledger_version')")).scalar() is None:
        return 0
    return int(db.execute(select(_versions.c.version)).scalar_one())


def require_known(version: int, place: Path | str) -> None:
    """Check that this program can use the version, or migrate it.

    Raises:
        InputError: Another version of the program wrote it.
    """
    # A newer one may have states that this program would read wrongly, and pay for again.
    if not (version == 0 or _OLDEST <= version <= SCHEMA_VERSION):
        raise InputError(f"{place}: was written by another version of imagen (ledger version {version})")


def bring_up_to_date(db: Connection) -> None:
    """Create the tables, or migrate older ones; the caller keeps others from doing it at the same time."""
    version = read_version(db)
    if version == 0:
        metadata.create_all(db)
    else:
        for step in range(version + 1, SCHEMA_VERSION + 1):
            for statement in _STEPS[step]:
                db.execute(text(statement))
    # Random, not the path: predictions are claimed under this name, and the folder may be renamed or moved.
    if db.execute(select(batch_identity.c.batch)).first() is None:
        db.execute(insert(batch_identity).values(batch=secrets.token_hex(16)))
    if db.dialect.name == "sqlite":
        # Last, so that a migration that breaks is begun again.
        db.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
    elif version == 0:
        _versions.create(db)
        db.execute(insert(_versions).values(version=SCHEMA_VERSION))
    else:
        db.execute(update(_versions).values(version=SCHEMA_VERSION))
