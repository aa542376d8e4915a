"""Inserts that say what happens where the row is there already: each database has words of its own for it.

A database's dialect is loaded when its first such statement is made: nobody waits for the one that is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_for(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert into `table` for the database of that name: `sqlite` or `postgresql`."""
    from sqlalchemy.dialects import postgresql, sqlite  # noqa: PLC0415  40 ms of every command that only reads

    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
