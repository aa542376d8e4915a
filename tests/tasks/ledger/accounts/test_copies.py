"""Copies of a batch are batches of their own; one that was moved stays what it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.ledger.accounts.copies import settle_identity
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.runs import get_batch_identity


async def settle(out: Path) -> str:
    """Open the ledger as a run does."""
    out.mkdir(exist_ok=True)
    async with open_ledger(out, create=True) as engine:
        identity = await settle_identity(engine)
        assert await get_batch_identity(engine) == identity
    return identity


async def test_a_copy_gets_an_identity_of_its_own(tmp_path: Path) -> None:
    """Whichever is used first keeps the old one; both keep what they have from then on."""
    first = await settle(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = await settle(tmp_path / "b")
    assert copy != first
    assert [await settle(tmp_path / name) for name in ("a", "b", "a")] == [first, copy, first]
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    assert len({first, copy, await settle(tmp_path / "c")}) == 3


async def test_a_folder_that_was_moved_keeps_its_identity(tmp_path: Path) -> None:
    """Also where another batch stands at its old place by now."""
    first = await settle(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    other = await settle(tmp_path / "a")
    assert other != first
    assert await settle(tmp_path / "b") == first


async def test_a_folder_under_two_names_is_one_batch(tmp_path: Path) -> None:
    """A link leads to the same ledger."""
    first = await settle(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert await settle(tmp_path / "b") == first


async def test_without_a_state_folder_a_batch_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows of copies then, and no run fails for it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert await settle(tmp_path / "a") == await settle(tmp_path / "a")
