from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import ConfigError
from tasks.orchestration.server.user_settings import find_setting, locate_setting

API_URL = ("PREFECT_API_URL", ("api", "url"))


@pytest.fixture(autouse=True)
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment that points to an empty PREFECT_HOME; the current folder is empty too, Prefect reads it."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "prefect-home").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return {"PREFECT_HOME": str(tmp_path / "prefect-home")}


def test_nothing_is_set(environ: dict[str, str]) -> None:
    """Without a word from the user there is no value, Prefect's defaults are not repeated here."""
    assert find_setting(environ, *API_URL) is None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("prefect-home/profiles.toml", 'active = "p"\n[profiles.p]\nPREFECT_API_URL = "http://p/api"'),
        ("cwd/.env", "OTHER=1\nexport prefect_api_url = 'http://p/api'\n"),
        ("cwd/prefect.toml", '[api]\nurl = "http://p/api"'),
        ("cwd/pyproject.toml", '[tool.prefect.api]\nurl = "http://p/api"'),
    ],
)
def test_every_settings_file_is_read(tmp_path: Path, environ: dict[str, str], file: str, text: str) -> None:
    """A setting is found wherever Prefect would find it, and its place is known."""
    (tmp_path / file).write_text(text)
    assert find_setting(environ, *API_URL) == "http://p/api"
    located = locate_setting(environ, *API_URL)
    assert located is not None
    assert Path(file).name in located.place


def test_environment_goes_before_files(tmp_path: Path, environ: dict[str, str]) -> None:
    """The environment wins in any spelling, even with an empty value, as it does for Prefect."""
    (tmp_path / "cwd/prefect.toml").write_text('[api]\nurl = "http://p/api"')
    assert find_setting(environ | {"prefect_api_url": ""}, *API_URL) == ""


def test_named_profile_goes_before_active_one(tmp_path: Path, environ: dict[str, str]) -> None:
    """PREFECT_PROFILE chooses among the profiles, as it does for Prefect."""
    (tmp_path / "prefect-home/profiles.toml").write_text(
        'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://a/api"\n[profiles.b]\nPREFECT_API_URL = "http://b/api"'
    )
    assert find_setting(environ, *API_URL) == "http://a/api"
    assert find_setting(environ | {"PREFECT_PROFILE": "b"}, *API_URL) == "http://b/api"


@pytest.mark.parametrize("content", [b"active = ", b"\xff"])
def test_broken_settings_file_is_named(tmp_path: Path, environ: dict[str, str], content: bytes) -> None:
    """A settings file that Prefect would stumble over is named before Prefect is imported."""
    (tmp_path / "prefect-home/profiles.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"prefect-home/profiles\.toml: .*Prefect reads its settings"):
        find_setting(environ, *API_URL)
