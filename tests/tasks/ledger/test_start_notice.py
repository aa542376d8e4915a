"""The notice of a run that reads its manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.ledger.start_notice import announce_start, is_starting


def test_a_notice_is_seen_until_it_is_withdrawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is of one output only, and leaves no file behind."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert not is_starting("/runs/foxes")
    with announce_start("/runs/foxes"):
        assert is_starting("/runs/foxes")
        assert not is_starting("/runs/owls")
    assert not is_starting("/runs/foxes")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_state_folder_that_cannot_be_made_stops_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only whoever watches is not told."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with announce_start("/runs/foxes"):
        assert not is_starting("/runs/foxes")
