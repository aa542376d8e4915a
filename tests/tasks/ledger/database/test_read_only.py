"""A ledger that may only be read: another user's batch, a snapshot, a read-only mount."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.clock import Clock
from tasks.core.paths import LOCK_NAME
from tasks.ledger.database import connect
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lock import is_locked, lock_folder
from tasks.ledger.queries import count_jobs
from tasks.report.gallery.build import write_gallery
from tasks.report.gallery.elsewhere import link_batch
from tasks.report.summary import summarise
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job, open_batch_with


@pytest.fixture
async def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch of two jobs whose folder is taken for a read-only one, whoever runs the tests."""
    folder = tmp_path / "b"
    folder.mkdir()
    async with open_batch_with(folder, [make_job(0), make_job(1)]):
        pass
    monkeypatch.setattr(connect, "is_writable", lambda _: False)
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_it_is_read_in_place_and_nothing_is_written(batch: Path) -> None:
    """No log, no lock and no shared memory appear beside the ledger."""
    before = snapshot(batch)
    async with open_ledger(batch) as engine:
        assert (await count_jobs(engine)).total == 2
    assert snapshot(batch) == before


async def test_what_stands_in_the_log_alone_is_read(batch: Path, tmp_path: Path) -> None:
    """A killed run leaves its last transactions in the log; a snapshot of that is whole."""
    writer = sqlite3.connect(batch / "ledger.db")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("UPDATE jobs SET state = 'failed', error_kind = 'late'")
    writer.commit()
    copied = tmp_path / "snapshot"
    shutil.copytree(batch, copied)
    writer.close()
    before = snapshot(copied)
    async with open_ledger(copied) as engine:
        assert (await count_jobs(engine)).failed == 2
    assert snapshot(copied) == before


async def test_a_lock_that_cannot_be_taken_can_be_asked(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of another user counts as running only while somebody holds its lock."""

    def refuse(*_: object, **__: object) -> Iterator[None]:
        raise PermissionError

    with lock_folder(batch):
        monkeypatch.setattr("tasks.ledger.lock.FileLock.acquire", refuse)
        assert is_locked(batch)
    assert (batch / LOCK_NAME).exists()
    assert not is_locked(batch)


async def test_its_gallery_is_written_elsewhere(batch: Path, tmp_path: Path) -> None:
    """The page lies in a folder of one's own, shows the batch and links to its images."""
    before = snapshot(batch)
    (batch / "images").mkdir()
    out = OutputFolder(batch)
    gallery = await write_gallery(link_batch(out, str(tmp_path / "page")), batch=out)
    assert gallery.jobs == 2
    assert gallery.as_dict()["out"] == str(tmp_path / "page")
    assert (tmp_path / "page" / "images").samefile(batch / "images")
    assert snapshot(batch) == before
    async with open_ledger(batch) as engine:
        assert (await summarise(engine, out, now_us=Clock().now_us())).alive is False


async def test_a_full_disk_needs_no_room_to_be_read(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to look at a batch, so its images can be found and taken elsewhere."""
    monkeypatch.setattr(connect, "is_writable", lambda _: True)
    monkeypatch.setattr(connect, "has_room", lambda _: False)
    before = snapshot(batch)
    async with open_ledger(batch) as engine:
        assert (await count_jobs(engine)).total == 2
    assert snapshot(batch) == before
