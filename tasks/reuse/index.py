"""The index of images by identity, over all batches that were ever asked: a file in the state folder.

It is a projection of their ledgers, and only says where to look: what it names is read from the ledger again before an
image is taken. It can be deleted at any time, and a damaged one is made anew.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.core.database import list_sqlite_files
from tasks.core.errors import InputError
from tasks.core.memory import split_chunks
from tasks.core.paths import get_state_folder

FILE_NAME = "reuse.db"
VERSION = 2
BUSY_S = 30.0
"""Another run of the same user may be writing its batches."""
_SCHEMA = f"""
    CREATE TABLE IF NOT EXISTS sources (id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE, signature TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS images (
        job BLOB NOT NULL, identity BLOB, saltless BLOB NOT NULL, format TEXT NOT NULL, source INTEGER NOT NULL,
        file_name TEXT NOT NULL, bytes INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS images_identity ON images (identity);
    CREATE INDEX IF NOT EXISTS images_saltless ON images (saltless);
    CREATE INDEX IF NOT EXISTS images_source ON images (source);
    PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedImage:
    """An image that a batch had when it was read last."""

    job_id: str
    is_of_its_salt: bool
    """False for one that its batch took from another salt: only who takes any salt may have it."""
    saltless_id: str
    format: str
    """As it was asked for: another format was another request."""
    file_name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A place to look for an image."""

    source: int
    image: IndexedImage


class ReuseIndex:
    """The index, open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use a database that has the tables."""
        self._db = db

    def find_source(self, address: str, signature: str) -> int | None:
        """The batch's number where it is known as it is now."""
        row = self._db.execute("SELECT id, signature FROM sources WHERE address = ?", (address,)).fetchone()
        return int(row[0]) if row and row[1] == signature else None

    async def replace_source(self, address: str, signature: str, images: AsyncIterator[Sequence[IndexedImage]]) -> int:
        """Put a batch's images in place of what was known of it; `images` comes in pages."""
        # Collected outside of the transaction: a large ledger must not keep other runs waiting.
        self._db.execute(
            "CREATE TEMP TABLE fresh (job BLOB, identity BLOB, saltless BLOB, format TEXT, file_name TEXT, bytes INTEGER)"
        )
        try:
            async for page in images:
                self._db.executemany("INSERT INTO fresh VALUES (?, ?, ?, ?, ?, ?)", map(_build_row, page))
            with self._transaction():
                return self._put_source(address, signature)
        finally:
            self._db.execute("DROP TABLE temp.fresh")

    def find(self, ids: Collection[str], sources: Collection[int], *, saltless: bool) -> Iterator[tuple[str, Hit]]:
        """Images by identity, in these batches only; `saltless` compares the identities without salt."""
        key = "saltless" if saltless else "identity"
        for chunk in split_chunks(sorted(ids)):
            marks = ", ".join("?" * len(chunk))
            rows = self._db.execute(
                f"SELECT job, identity, saltless, format, source, file_name, bytes FROM images WHERE {key} IN ({marks})",  # noqa: S608  marks only
                [bytes.fromhex(name) for name in chunk],
            )
            for job, identity, without, form, source, file_name, size in rows:
                if source in sources:
                    image = IndexedImage(
                        job_id=job.hex(),
                        is_of_its_salt=identity is not None,
                        saltless_id=without.hex(),
                        format=form,
                        file_name=file_name,
                        bytes=size,
                    )
                    yield (image.saltless_id if saltless else image.job_id), Hit(source, image)

    def forget_missing(self) -> None:
        """Drop the folders that are gone."""
        for number, address in self._db.execute("SELECT id, address FROM sources").fetchall():
            if "://" not in address and not os.path.lexists(address):
                with self._transaction():
                    self._db.execute("DELETE FROM images WHERE source = ?", (number,))
                    self._db.execute("DELETE FROM sources WHERE id = ?", (number,))

    def _put_source(self, address: str, signature: str) -> int:
        self._db.execute(
            "INSERT INTO sources (address, signature) VALUES (?, ?) ON CONFLICT DO UPDATE SET signature = excluded.signature",
            (address, signature),
        )
        [number] = self._db.execute("SELECT id FROM sources WHERE address = ?", (address,)).fetchone()
        self._db.execute("DELETE FROM images WHERE source = ?", (number,))
        self._db.execute(
            "INSERT INTO images (job, identity, saltless, format, source, file_name, bytes)"
            " SELECT job, identity, saltless, format, ?, file_name, bytes FROM fresh",
            (number,),
        )
        return int(number)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise


def _build_row(image: IndexedImage) -> tuple[bytes, bytes | None, bytes, str, str, int]:
    job = bytes.fromhex(image.job_id)
    identity = job if image.is_of_its_salt else None
    return job, identity, bytes.fromhex(image.saltless_id), image.format, image.file_name, image.bytes


@contextmanager
def open_index() -> Iterator[ReuseIndex]:
    """The index for the duration of the block; a private one where the state folder cannot be used."""
    if (db := _open_file()) is None:
        with open_private_index() as private:
            yield private
        return
    try:
        yield ReuseIndex(db)
    finally:
        db.close()


@contextmanager
def open_private_index() -> Iterator[ReuseIndex]:
    """An empty index of this process alone, gone with the block."""
    db = _connect("")
    try:
        yield ReuseIndex(db)
    finally:
        db.close()


def _open_file() -> sqlite3.Connection | None:
    try:
        path = get_state_folder() / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it says which folders this user has
        try:
            return _connect(str(path))
        except sqlite3.OperationalError:  # locked, or it may only be read: it is another run's, and not damaged
            return None
        except sqlite3.DatabaseError:
            # Damaged, or of another version: it holds nothing that the ledgers do not.
            _remove(path)
            return _connect(str(path))
    except (OSError, InputError, sqlite3.Error):
        return None


def _connect(name: str) -> sqlite3.Connection:
    """Open or make the tables.

    Raises:
        sqlite3.DatabaseError: The file is no index of this version.
    """
    db = sqlite3.connect(name, timeout=BUSY_S, isolation_level=None)
    try:
        _check(db)
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    [version] = db.execute("PRAGMA user_version").fetchone()
    # A page that was lost is found out now, and not in the middle of a plan.
    is_sound = db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    if version not in {0, VERSION} or not is_sound:
        raise sqlite3.DatabaseError("no index of this version")


def _remove(path: Path) -> None:
    for file in list_sqlite_files(path):
        file.unlink(missing_ok=True)
