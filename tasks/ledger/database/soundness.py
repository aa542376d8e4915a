"""Values that no run writes, found when a SQLite ledger is opened: damage is told before anything is read, spent or shown.

SQLite keeps any value in any column. A text among the costs is summed as nothing, so each reader would have to
check what the database adds up; one scan checks it for all of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Float, Integer, Table, text

from tasks.core.errors import InputError
from tasks.core.records import JobState
from tasks.core.safe_text import error_text
from tasks.ledger.database.schema import ANSWERS, MOST_RATING, VERDICTS, metadata

MOST_TEXT_CHARS = 16 * 1024**2
"""Longest text of a ledger; a manifest's cell, however it is spelled in JSON, stays below it."""
MOST_INTEGER = 2**63 - 1
LAST_INSTANT_US = 253_402_300_799_999_999
"""End of the year 9999, the last that Python's dates have."""
MOST_PX = 1_000_000
MOST_MICROS = 10**15
"""A thousand million dollars."""
MOST_S = 10**12
DIGEST_DIGITS = 64

_STATES = ", ".join(f"'{state}'" for state in JobState)
JSON_OBJECTS = frozenset({"backend_opts", "extra", "results"})
_SIDES = frozenset({"width", "height", "requested_width", "requested_height"})
_INDEX_CONDITION = re.compile(r"\bWHERE\b.*", re.IGNORECASE | re.DOTALL)
CHOICES = {
    "state": _STATES,
    "verdict": ", ".join(f"'{verdict}'" for verdict in VERDICTS),
    "answer": ", ".join(f"'{answer}'" for answer in ANSWERS),
}
ROW_NAMES = {
    "jobs": "job_id",
    "attempts": "job_id",
    "verdicts": "job_id",
    "comparisons": "first_job",
    "scores": "job_id",
    "runs": "number",
    "batch_identity": "batch",
}


def prepare_connection(connection: Any) -> None:
    """Give a new connection the checks that SQL has no words for."""
    connection.create_function("imagen_is_text", 1, _is_text, deterministic=True)
    connection.create_function("imagen_is_json", 1, _is_json, deterministic=True)


def check_soundness(db: Connection, path: Path) -> None:
    """Check every value of the ledger.

    Raises:
        InputError: One is damaged; the message names the ledger, table, column and job.
    """
    for table in metadata.tables.values():
        _check_columns(db, table, path)
        _check_indexes(db, table, path)
        if _find_one(db, table, _build_quick_condition(table)):
            _raise_damage(db, table, path)
    # Whose predictions the account's record means is told by this name.
    if len(db.execute(text("SELECT 1 FROM batch_identity LIMIT 2")).all()) != 1:
        raise InputError(f"{path}: the ledger is damaged: batch_identity does not have one row. Restore it from a copy")


def _check_columns(db: Connection, table: Table, path: Path) -> None:
    """A database of another program can have our version number."""
    known = {row[1] for row in db.execute(text(f"PRAGMA table_info({table.name})"))}
    if missing := [column.name for column in table.columns if column.name not in known]:
        what = f"the table {table.name} lacks {missing[0]}" if known else f"it has no table {table.name}"
        raise InputError(f"{path}: is not a ledger of imagen, or is damaged ({what}); choose another output folder")


def _check_indexes(db: Connection, table: Table, path: Path) -> None:
    """An index that lost its entries answers with fewer rows: no images, or no attempt that has a prediction."""
    listed = "SELECT name, coalesce(sql, '') FROM sqlite_master WHERE type = 'index' AND tbl_name = :table"
    for name, created in db.execute(text(listed), {"table": table.name}).all():
        # Names are the file's own, and so is the condition of an index that has only some rows.
        quoted, rows = name.replace('"', '""'), _INDEX_CONDITION.search(created)
        # A sum reads the index entry by entry; a plain count would take whichever index is the smallest.
        ways, condition = (f'INDEXED BY "{quoted}"', "NOT INDEXED"), rows[0] if rows else ""
        counts = [f"SELECT sum(1) FROM {table.name} {way} {condition}" for way in ways]  # noqa: S608  as above
        if db.exec_driver_sql(f"SELECT ({counts[0]}) IS NOT ({counts[1]})").scalar():
            raise InputError(
                f"{path}: the ledger is damaged: the index {error_text(name)} does not have the rows of {table.name}. "
                "Restore it from a copy of its folder"
            )


def _build_quick_condition(table: Table) -> str:
    """Condition for a damaged row. All texts go through one call, because a call costs more than all other checks."""
    texts = [column for column in table.columns if is_text_column(column)]
    rules = [_build_damage(column) for column in table.columns]
    whole = " || ".join(f"coalesce({column.name}, '')" for column in texts)
    return " OR ".join([*rules, *([f"NOT imagen_is_text(CAST({whole} AS BLOB))"] if texts else [])])


def _build_damage(column: Column[Any]) -> str:
    """Condition for a value that breaks its column's rule."""
    # Not within a function such as coalesce: SQLite works out all parts of an argument, the calls for JSON too.
    return f"{_build_rule(column)} IS NOT TRUE"


def _build_rule(column: Column[Any]) -> str:
    """Condition for a value that a run can have written; of a text without its characters."""
    name = column.name
    if column.name in CHOICES:
        rule = f"{name} IN ({CHOICES[name]})"
    elif isinstance(column.type, Integer | Boolean):
        least, most = get_bounds(column)
        rule = f"typeof({name}) = 'integer' AND {name} BETWEEN {least} AND {most}"
    elif isinstance(column.type, Float):
        rule = f"typeof({name}) IN ('real', 'integer') AND {name} BETWEEN 0 AND {MOST_S}"
    else:
        # The cheap bounds first: a text of 200 MB is not even looked at.
        rule = f"typeof({name}) = 'text' AND length({name}) <= {MOST_TEXT_CHARS}"
        if name in JSON_OBJECTS:
            rule += f" AND ({name} = '{{}}' OR imagen_is_json(CAST({name} AS BLOB)))"
    return f"({name} IS NULL OR ({rule}))" if column.nullable else f"({rule})"


def get_bounds(column: Column[Any]) -> tuple[int, int]:
    """Least and most of a whole number."""
    name = column.name
    if isinstance(column.type, Boolean):
        return 0, 1
    if name.endswith("_us"):
        return 0, LAST_INSTANT_US
    if name.endswith("_micros"):
        return 0, MOST_MICROS
    if name in _SIDES:
        return 1, MOST_PX
    return (1, MOST_RATING) if name == "rating" else (0, MOST_INTEGER)


def is_text_column(column: Column[Any]) -> bool:
    """True for a column of texts."""
    return not isinstance(column.type, Integer | Boolean | Float)


def _raise_damage(db: Connection, table: Table, path: Path) -> None:
    """Name the first damaged value, column by column: this is done once, so it may take its time."""
    for column in table.columns:
        damaged = _build_damage(column)
        if is_text_column(column):
            damaged += f" OR ({column.name} IS NOT NULL AND NOT imagen_is_text(CAST({column.name} AS BLOB)))"
        if found := _find_one(db, table, damaged, column):
            [name, kind] = found
            what = "job" if ROW_NAMES[table.name] == "job_id" else table.name.removesuffix("s")
            raise InputError(
                f"{path}: the ledger is damaged: {table.name}.{column.name} of {what} {spell_name(name)} is "
                f"{describe_damage(column, kind)}. Restore it from a copy of its folder"
            )
    raise InputError(f"{path}: the ledger is damaged: a row of {table.name} cannot be read. Restore it from a copy")


def _find_one(db: Connection, table: Table, condition: str, column: Column[Any] | None = None) -> tuple[Any, ...]:
    """Name of the first row that the condition finds, and the kind of its value; empty where it finds none."""
    kind = f"typeof({column.name})" if column is not None else "NULL"
    # The name can be what is damaged: as bytes it is read whatever it holds.
    name = f"CAST(substr({ROW_NAMES[table.name]}, 1, {DIGEST_DIGITS}) AS BLOB)"
    row = db.execute(text(f"SELECT {name}, {kind} FROM {table.name} WHERE {condition} LIMIT 1")).first()  # noqa: S608  names of our own schema
    return () if row is None else tuple(row)


def spell_name(name: Any) -> str:
    """A row's name as a message has it, whatever it holds."""
    return error_text(name.decode("utf-8", "replace") if isinstance(name, bytes) else name, most_chars=DIGEST_DIGITS)


def describe_damage(column: Column[Any], kind: str) -> str:
    """The value's kind, and what it should be."""
    if kind == "null":
        return "missing"
    if column.name in CHOICES:
        return f"none of {CHOICES[column.name].replace(chr(39), '')}"
    if isinstance(column.type, Float):
        wanted = f"a number from 0 to {MOST_S:,}"
    elif isinstance(column.type, Integer | Boolean):
        least, most = get_bounds(column)
        wanted = f"a whole number from {least} to {most}"
    elif column.name in JSON_OBJECTS:
        wanted = "a JSON object"
    else:
        wanted = f"a text of at most {MOST_TEXT_CHARS:,} characters without NUL and broken characters"
    found = {"integer": "a whole number", "real": "a broken number", "blob": "bytes"}.get(kind, f"a {kind}")
    return f"{found}, not {wanted}"


def _is_text(data: bytes | None) -> bool:
    """True for UTF-8 without NUL."""
    try:
        return data is not None and "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _is_json(data: bytes | None) -> bool:
    """True for an object that every reader can read, and write again as UTF-8."""
    try:
        value = json.loads((data or b"").decode())
        # Half of a character passes as an escape, and no file or page takes it.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)
