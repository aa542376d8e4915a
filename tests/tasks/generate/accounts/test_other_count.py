"""A second count of one user: told where it can be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.caps.cap import CapSettings
from tasks.core.paths import get_state_folder
from tasks.ledger.accounts.caps.other_count import RECENT_US, find_other_count
from tests.support.factories import START_US
from tests.support.remarks import hear
from tests.support.scripted_backend import ScriptedBackend
from tests.tasks.generate.accounts.conftest import Machine


async def test_a_run_beside_a_second_count_is_told(
    machine: Machine,
    caps: list[CapSettings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Batches at home are counted at home; one whose state folder is elsewhere keeps the cap for itself, and says so."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    caps.append(CapSettings(usd=1, per="day"))
    with hear() as remarks:
        await machine.run("a", ScriptedBackend(), 2)
    assert remarks == []
    at_home = get_state_folder() / "accounts.db"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    with hear() as remarks:
        await machine.run("b", ScriptedBackend(), 2)
    assert [str(at_home) in remark for remark in remarks] == [True]
    # What is older than any cap's period is no second count.
    assert find_other_count(START_US + 2 * RECENT_US) is None
