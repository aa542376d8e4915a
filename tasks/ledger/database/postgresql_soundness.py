"""Values that no run writes, found when a PostgreSQL ledger is opened.

The columns' types hold kinds of values; what they allow beyond a ledger's own is found here, as `soundness` does for SQLite.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Connection, Float, Integer, Table, text
from sqlalchemy.exc import DBAPIError

from tasks.core.errors import InputError
from tasks.ledger.database.schema import metadata
from tasks.ledger.database.soundness import (
    CHOICES,
    JSON_OBJECTS,
    MOST_S,
    MOST_TEXT_CHARS,
    ROW_NAMES,
    describe_damage,
    get_bounds,
    is_text_column,
    spell_name,
)

IS_JSON_SINCE = 160_000
"""The first version of PostgreSQL that has IS JSON."""
BYTES_PER_CHAR = 4
TOO_DEEP = "54001"
"""SQLSTATE of JSON that is nested deeper than the server's stack."""


def check_postgresql_soundness(db: Connection, place: str) -> None:
    """Check every value of the ledger.

    Raises:
        InputError: One is damaged; the message names the ledger, table, column and job.
    """
    version = int(db.execute(text("SHOW server_version_num")).scalar_one())
    for table in metadata.tables.values():
        rules = {column.name: _build_rule(column, has_json=version >= IS_JSON_SINCE) for column in table.columns}
        if _find_one(db, table, " OR ".join(f"NOT coalesce({rule}, false)" for rule in rules.values())) is not None:
            _raise_damage(db, table, rules, place)


def _build_rule(column: Column[Any], *, has_json: bool) -> str:
    """Condition for a value that a run can have written."""
    name = column.name
    if name in CHOICES:
        rule = f"{name} IN ({CHOICES[name]})"
    elif isinstance(column.type, Boolean):
        rule = f"{name} IS NOT NULL"
    elif isinstance(column.type, Integer):
        least, most = get_bounds(column)
        rule = f"{name} BETWEEN {least} AND {most}"
    elif isinstance(column.type, Float):
        rule = f"{name} BETWEEN 0 AND {MOST_S}"  # NaN is greater than any number there
    else:
        # Its length in characters would unpack every long text; that in bytes is written beside it.
        rule = f"octet_length({name}) <= {BYTES_PER_CHAR * MOST_TEXT_CHARS}"
        if name in JSON_OBJECTS:
            rule += f" AND ({name} = '{{}}' OR {name} {'IS JSON OBJECT' if has_json else 'LIKE ' + repr('{%}')})"
    return f"({name} IS NULL OR ({rule}))" if column.nullable else f"({rule})"


def _find_one(db: Connection, table: Table, condition: str, column: str = "NULL") -> tuple[Any, Any] | None:
    """Name of the first row that the condition finds, and whether its value is missing; None where it finds none."""
    query = f"SELECT {ROW_NAMES[table.name]}, {column} IS NULL FROM {table.name} WHERE {condition} LIMIT 1"  # noqa: S608  names of our own schema
    try:
        # A savepoint: an error would end the transaction, and the columns are still to be looked at.
        with db.begin_nested():
            row = db.exec_driver_sql(query).first()
    except DBAPIError as exc:
        if getattr(exc.orig, "sqlstate", None) != TOO_DEEP:
            raise
        return "of its JSON", False
    return None if row is None else (row[0], row[1])


def _raise_damage(db: Connection, table: Table, rules: dict[str, str], place: str) -> None:
    """Name the first damaged value, column by column: this is done once, so it may take its time."""
    for column in table.columns:
        if found := _find_one(db, table, f"NOT coalesce({rules[column.name]}, false)", column.name):
            name, is_missing = found
            kind = "null" if is_missing else "text" if is_text_column(column) else "number"
            what = "job" if ROW_NAMES[table.name] == "job_id" else table.name.removesuffix("s")
            raise InputError(
                f"{place}: the ledger is damaged: {table.name}.{column.name} of {what} {spell_name(name)} is "
                f"{describe_damage(column, kind)}. Restore it from a backup of its database"
            )
    raise InputError(f"{place}: the ledger is damaged: a row of {table.name} cannot be read. Restore it from a backup")
