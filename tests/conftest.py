"""What every test gets: folders of its own, and none of the developer's settings, pane or identity."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.services.postgresql", "tests.services.supabase"]

PERSONAL_PREFIXES = ("PREFECT_", "XDG_", "MAI_", "TMUX", "SUPABASE_", "REPLICATE_", "IMAGEN_USAGE_")


@pytest.fixture(autouse=True)
def _private_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PERSONAL_PREFIXES)]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder that exists and is empty."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
