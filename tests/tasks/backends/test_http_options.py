"""Settings of the HTTP backends: what could not be sent is said before anything is."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends import build_backend
from tasks.backends.base import Backend
from tasks.errors import ConfigError
from tasks.settings import BackendSettings, Settings

TYPES = {
    "replicate": ({"model": "a/b"}, "REPLICATE_API_TOKEN", "api_base"),
    "fal": ({"model": "a/b"}, "FAL_KEY", "queue_base"),
    "openai": ({"model": "m"}, "OPENAI_API_KEY", "api_base"),
}


def backend_of(kind: str, **options: Any) -> Backend:
    """The instance `mine` of a type."""
    settings = BackendSettings.model_validate({"type": kind, **TYPES[kind][0], **options})
    return build_backend("mine", Settings(default_backend="mine", backends={"mine": settings}))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    ("secret", "missing"),
    [
        ("", "set {}"),
        ("  key\n", None),
        ("\u201ckey\u201d", "set {} anew (it holds characters that no key has)"),
        ("key\nkey", "set {} anew (it holds characters that no key has)"),
    ],
)
def test_a_key_that_no_header_takes_is_said_before_anything_is_sent(
    kind: str, secret: str, missing: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quote that was copied along broke the first create in its middle, as if it might have been paid for."""
    name = TYPES[kind][1]
    monkeypatch.setenv(name, secret)
    assert backend_of(kind).ready() == (missing and missing.format(name))


@pytest.mark.parametrize("kind", TYPES)
def test_an_address_that_cannot_be_read_is_a_bad_setting(kind: str) -> None:
    """It is said with the setting's name, not by a traceback of the first request."""
    setting = TYPES[kind][2]
    with pytest.raises(ConfigError, match=f"backends.mine: {setting}: 'http://localhost:80O0' is not an address"):
        backend_of(kind, **{setting: "http://localhost:80O0"})
