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
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415  see above

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  see above

    return postgresql.insert(table)
