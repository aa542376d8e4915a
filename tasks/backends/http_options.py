"""Kinds of settings that the HTTP backends share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"{value!r} is not an address; write https://...")
    return value


Address = Annotated[str, AfterValidator(_address)]
"""Where a service answers."""
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of the environment variable that holds a secret; the secret itself never stands in the configuration."""
