"""Kinds of settings that the HTTP backends share."""

from __future__ import annotations

import os
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field


def missing_secret(name: str) -> str | None:
    """What to do before the secret in this variable can be sent; None when there is nothing to do."""
    value = os.environ.get(name, "").strip()
    if value.isascii() and value.isprintable():
        return None if value else f"set {name}"
    # A typographic quote, or a line break, that was copied along: no header takes it.
    return f"set {name} anew (it holds characters that no key has)"


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"{value!r} is not an address; write https://...")
    return value


def _readable(value: str) -> str:
    try:
        httpx.URL(value)
    except httpx.InvalidURL as exc:
        raise ValueError(f"{value!r} is not an address ({exc})") from None
    return value


AddressTemplate = Annotated[str, AfterValidator(_address)]
"""Where a service answers, with placeholders."""
Address = Annotated[AddressTemplate, AfterValidator(_readable)]
"""Where a service answers."""
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of the environment variable that holds a secret; the secret itself never stands in the configuration."""
