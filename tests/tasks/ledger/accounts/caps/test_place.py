"""The place where attempts are counted: what is committed there survives a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection

from tasks.core.configuration.settings import Settings
from tasks.ledger.accounts.caps.place import open_counting_place
from tasks.ledger.accounts.place import open_state_folder

SYNCHRONOUS_NORMAL, SYNCHRONOUS_FULL = 1, 2


def read_synchronous(db: Connection) -> int:
    """How SQLite commits on this connection."""
    return int(db.exec_driver_sql("PRAGMA synchronous").scalar_one())


async def test_a_charge_is_on_the_disk_before_its_attempt_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts are written through, so no power cut gives money back; ids and turns, which guard none, are not."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with open_counting_place(Settings(), None) as place:
        assert await place.writer.write(read_synchronous) == SYNCHRONOUS_FULL
    writer = await open_state_folder()
    assert await writer.write(read_synchronous) == SYNCHRONOUS_NORMAL
    await writer.close()
