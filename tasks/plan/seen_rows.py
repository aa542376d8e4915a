"""What came before in a manifest, remembered on disk: memory does not grow with the manifest."""

from __future__ import annotations

import sqlite3
from typing import Self


class SeenRows:
    """Ids and contents of a manifest's rows, in a private database that SQLite keeps on disk and then drops."""

    _CACHE_KIB = 32 * 1024

    def __enter__(self) -> Self:
        """Empty."""
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            f"""
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{self._CACHE_KIB};
            CREATE TABLE contents (digest BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE ids (id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID;
            BEGIN;
            """
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Forget everything."""
        self._db.close()

    def times_before(self, row: str) -> int:
        """How often this content came before; counts it."""
        counted = self._db.execute(
            "INSERT INTO contents VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times - 1",
            (bytes.fromhex(row),),
        )
        return int(counted.fetchone()[0])

    def first_line(self, row_id: str, line: int) -> int | None:
        """The line that this id stands on already; None when it is new, and then it is remembered."""
        if self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (row_id, line)).rowcount:
            return None
        return int(self._db.execute("SELECT line FROM ids WHERE id = ?", (row_id,)).fetchone()[0])
