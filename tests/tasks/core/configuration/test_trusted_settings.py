"""What a ledger says is used only where it is the user's: somebody else's settings reach nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.core.configuration import trust
from tasks.core.configuration.settings import Settings
from tasks.core.configuration.trusted_settings import find_strange_settings, remember_settings, require_trusted_settings
from tasks.core.errors import ConfigError

EVIL = "https://evil.example"


def with_backend(**options: Any) -> Settings:
    """Settings with one instance beside the built-in one."""
    instance = {"type": "replicate", "model": "a/b", **options}
    return Settings.model_validate({"backends": {"sketch": {"type": "sketch"}, "x": instance}})


OWN = with_backend(api_base="https://proxy.example", api_token_env="MY_TOKEN")
STRANGE: dict[str, Settings] = {
    "an address": with_backend(api_base=EVIL),
    "a variable": with_backend(api_token_env="AWS_SECRET_ACCESS_KEY"),
    "an own variable to a strange address": with_backend(api_base=EVIL, api_token_env="MY_TOKEN"),
    "a strange variable to an own address": with_backend(api_base="https://proxy.example", api_token_env="OTHER"),
    "hosts of images": with_backend(delivery_hosts=["*.evil.example"]),
    "a path as the model": with_backend(model="/etc/model"),
    "a header": with_backend(type="http", create={"headers": {"X": "{env:AWS_SECRET_ACCESS_KEY}"}}),
    "another type": with_backend(type="openai", api_base="https://proxy.example", api_token_env="MY_TOKEN"),
    "usage elsewhere": Settings.model_validate({"usage": {"sink": "supabase", "url_env": "EVIL_URL"}}),
    "a usage file": Settings.model_validate({"usage": {"path": "/home/me/.bashrc"}}),
    "a judge of the rule": Settings.model_validate(
        {
            "scores": {"eye": {"question": "?", "model": "m", "price_usd": 0, "base_url": EVIL, "key_env": "MY_TOKEN"}},
            "reject": "not eye",
        }
    ),
    "a cluster": Settings.model_validate({"runner": {"kind": "dask", "cluster": "tcp://evil.example:8786"}}),
}


@pytest.mark.parametrize("settings", STRANGE.values(), ids=STRANGE)
def test_what_reaches_other_places_is_refused(settings: Settings) -> None:
    """Nothing of it is used before the user says so, and the message names what it is."""
    assert list(find_strange_settings(settings, OWN))
    with pytest.raises(ConfigError, match="--trust-ledger"):
        require_trusted_settings(settings)


@pytest.mark.parametrize("settings", [Settings(), with_backend(), OWN, with_backend(model="owner/name")])
def test_what_is_the_users_passes(settings: Settings) -> None:
    """Built-in addresses and variables, models of a service, and whatever the user's own configuration names."""
    assert list(find_strange_settings(settings, OWN)) == []


def test_the_own_configuration_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`./imagen.yaml` counts, as it does for a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagen.yaml").write_text(OWN.model_dump_json())
    require_trusted_settings(OWN)


def test_what_a_run_used_is_remembered() -> None:
    """A resume goes on after the configuration was moved or deleted; other settings are still strange."""
    remember_settings(OWN)
    require_trusted_settings(OWN)
    with pytest.raises(ConfigError, match=r"evil\.example"):
        require_trusted_settings(STRANGE["an address"])


def test_the_user_may_trust_a_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one variable, for this process."""
    monkeypatch.setenv(trust.TRUST_VARIABLE, "true")
    require_trusted_settings(STRANGE["an address"])


def test_only_the_parts_that_are_used_count() -> None:
    """A push of usage rows needs nothing of the backends."""
    require_trusted_settings(STRANGE["an address"], parts=["usage"])
    with pytest.raises(ConfigError):
        require_trusted_settings(STRANGE["usage elsewhere"], parts=["usage"])


@pytest.mark.parametrize("text", ["", "[]", '{"settings": 7}', "\x00"])
def test_a_damaged_memory_trusts_nothing(text: str) -> None:
    """It is read as empty, and written anew."""
    trust.remember("settings", "x")
    [path] = list(Path.home().rglob(trust.FILE_NAME))
    path.write_text(text)
    assert not trust.is_trusted("settings", "x")
    trust.remember("settings", "x")
    assert trust.is_trusted("settings", "x")
