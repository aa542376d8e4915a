"""Secrets come from environment variables, whose names the configuration may change."""

from __future__ import annotations

import os

from tasks.core.errors import UsageRefused

PORTS = range(1, 65_536)


def variable(name: str, setting: str, *, needed_by: str) -> str:
    """What the variable holds, edge spaces aside; the message never shows it.

    Raises:
        UsageRefused: It is not set, or holds what no URL and no key holds.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise UsageRefused(
            "setting",
            f"{needed_by} needs the environment variable {name}, which is not set ({setting} names another one)",
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UsageRefused(
            "setting", f"the environment variable {name} holds spaces or other signs that cannot be in it"
        )
    return value
