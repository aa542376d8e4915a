"""The embedded sink in a file that is not its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tasks.core.errors import UsageError
from tasks.usage.sinks.sqlite import open_sqlite


async def test_another_programs_table_is_left_alone(tmp_path: Path) -> None:
    """A table of the same name is refused with the way out, and gets no column."""
    path = tmp_path / "usage.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE imagen_usage (x)")
    with pytest.raises(UsageError, match=r"another program's.*set usage\.path"):
        async with open_sqlite(path):
            pass
    with closing(sqlite3.connect(path)) as db:
        assert [row[1] for row in db.execute("PRAGMA table_info(imagen_usage)")] == ["x"]
