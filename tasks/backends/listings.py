"""The configured backends as `imagen backends` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.backends import build_backend
from tasks.core.errors import ConfigError
from tasks.core.settings import Settings
from tasks.core.text import align_columns

OK = "ok"


def list_backends(settings: Settings) -> list[dict[str, Any]]:
    """One record for each instance; a broken one says what is wrong and does not hide the others."""
    return [
        {
            "name": name,
            "type": instance.type,
            "model": instance.model,
            "default": name in settings.default_backends,
            "status": _get_status(name, settings),
        }
        for name, instance in settings.backends.items()
    ]


def format_backends(listing: Sequence[dict[str, Any]]) -> list[str]:
    """The listing for people."""
    rows = [
        (item["name"], item["type"], item["model"] or "-", item["status"] + " (default)" * item["default"])
        for item in listing
    ]
    return [align_columns([("name", "type", "model", "status"), *rows])]


def _get_status(name: str, settings: Settings) -> str:
    try:
        missing = build_backend(name, settings).ready()
    except ConfigError as exc:
        return f"not configured ({exc})"
    return OK if missing is None else f"not configured ({missing})"
