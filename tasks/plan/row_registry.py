"""The rows of a manifest seen so far, kept on disk: memory does not grow with the manifest."""

from __future__ import annotations

import sqlite3
from typing import Self


class RowRegistry:
    """Ids and contents of a manifest's rows, in a private database that SQLite keeps on disk and drops at the end."""

    _CACHE_KIB = 32 * 1024

    def __enter__(self) -> Self:
        """Begin with no rows."""
        # An empty name is a temporary database: in memory up to the cache's size, beyond that on disk.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            f"""
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{self._CACHE_KIB};
            CREATE TABLE contents (digest BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE images (digest BLOB, seed INTEGER, line INTEGER NOT NULL, PRIMARY KEY (digest, seed)) WITHOUT ROWID;
            CREATE TABLE ids (id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID;
            BEGIN;
            """
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the database."""
        self._db.close()

    def count_before(self, row: str) -> int:
        """Count the rows of this content (its `hash_row`) that came before, and note this one."""
        digest = (bytes.fromhex(row),)  # half the size of its hex digits
        # Nearly every row is new, and a statement that counts and answers takes three times as long as this one.
        if self._db.execute("INSERT OR IGNORE INTO contents VALUES (?, 1)", digest).rowcount:
            return 0
        counted = self._db.execute("UPDATE contents SET times = times + 1 WHERE digest = ? RETURNING times - 1", digest)
        return int(counted.fetchone()[0])

    def find_first_image(self, content: str, seed: int, line: int) -> int | None:
        """The line that asks for this content (a hash, without its seed) under this seed already; None for a new one."""
        image = (bytes.fromhex(content), seed)
        if self._db.execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?)", (*image, line)).rowcount:
            return None
        return int(self._db.execute("SELECT line FROM images WHERE digest = ? AND seed = ?", image).fetchone()[0])

    def find_first_line(self, row_id: str, line: int) -> int | None:
        """The line that has this id already; None for a new id, which is remembered."""
        if self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (row_id, line)).rowcount:
            return None
        return int(self._db.execute("SELECT line FROM ids WHERE id = ?", (row_id,)).fetchone()[0])
