"""Settings that no service can be reached with are said before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.client.options import build_authorization
from tasks.core.errors import ConfigError
from tests.support.fakes.backends import open_backend
from tests.support.fakes.json_api import at_once

KEYS = {"openai": "OPENAI_API_KEY", "fal": "FAL_KEY", "replicate": "REPLICATE_API_TOKEN"}


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://a", "http://", "http://localhost:80O0/v1", "http://[a/v1"]
)
@pytest.mark.parametrize(
    "instance",
    [
        {"type": "openai", "model": "m", "api_base": ""},
        {"type": "fal", "model": "a/b", "queue_base": ""},
        at_once("", "raw"),
    ],
    ids=lambda instance: instance["type"],
)
def test_what_is_no_address_is_a_mistake_in_the_configuration(instance: dict[str, Any], address: str) -> None:
    """A port with a letter in it, no host: not a lost call, whose job would be held."""
    wrong: dict[str, Any] = {name: address if value == "" else value for name, value in instance.items()}
    if "create" in wrong:
        wrong["create"] = {**wrong["create"], "url": address}
    with pytest.raises(ConfigError, match="is not an address"):
        open_backend(wrong)


@pytest.mark.parametrize("end", ["?version=1", "/?", "#/v1"])
def test_an_address_that_paths_are_put_behind_ends_without_a_query(end: str) -> None:
    """Every call would go to one and the same place."""
    with pytest.raises(ConfigError, match="without what begins with"):
        open_backend({"type": "openai", "model": "m", "api_base": f"https://api.example/v1{end}"})


def test_a_login_that_makes_an_address_none_is_not_shown() -> None:
    """A password with a slash ends the host: the message has no part of it."""
    with pytest.raises(ConfigError, match="is not an address") as caught:
        open_backend({"type": "openai", "model": "m", "api_base": "https://me:Hun/ter@2@host/v1"})
    assert "Hun" not in str(caught.value)


def test_a_part_of_an_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its port and host too."""
    instance = at_once("", "raw")
    instance["create"]["url"] = "http://{env:HOST}:{env:PORT}/v1?key={env:KEY}"
    for name in ("HOST", "PORT", "KEY"):
        monkeypatch.delenv(name, raising=False)
    missing = (open_backend(instance).ready() or "").removeprefix("set ").split(", ")
    assert {"HOST", "PORT", "KEY"} <= set(missing)


@pytest.mark.parametrize("key", ["\u201csk-1\u201d", "sk-1\nsk-2"])
@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_no_header_can_carry_is_named(kind: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was copied together with something else; nobody is asked anything with it."""
    monkeypatch.setenv(KEYS[kind], key)
    backend = open_backend({"type": kind, "model": "a/b"})
    backend.learn()
    assert (backend.ready() or "").startswith(f"set {KEYS[kind]} again")


@pytest.mark.parametrize(
    ("key", "header"),
    [("", None), ("abc", "Bearer abc"), ("Basic bWU6cHc=", "Basic bWU6cHc="), ("bearer x", "bearer x")],
)
def test_a_key_may_name_its_scheme(key: str, header: str | None) -> None:
    """A login of a proxy is sent as it is; a plain key is a bearer's."""
    assert build_authorization(key).get("Authorization") == header
