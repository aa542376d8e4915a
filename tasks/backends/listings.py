"""The configured backends as `imagen backends` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.backends import build_backend
from tasks.backends.client.options import read_secret
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError
from tasks.core.presets import list_presets, load_preset
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


def list_services(settings: Settings) -> list[dict[str, Any]]:
    """One record for each image service that can be used by its name."""
    return [_build_service(name, settings) for name in list_presets()]


def format_services(listing: Sequence[dict[str, Any]]) -> list[str]:
    """The services for people."""
    rows = [(item["name"], item["model"] or "-", item["key"] or "-", item["status"], item["title"]) for item in listing]
    return [
        align_columns([("name", "model", "key", "status", "service"), *rows]),
        "`imagen init --backend NAME` puts one into imagen.yaml. No key is asked for, or sent, before a run.",
    ]


def _build_service(name: str, settings: Settings) -> dict[str, Any]:
    preset = load_preset(name)
    if name in settings.backends:
        status = "configured"
    # A service on this machine needs no key; one whose key is set already only has to be named in imagen.yaml.
    elif preset.key is None or read_secret(preset.key):
        status = "ready to configure"
    else:
        status = f"make a key at {preset.key_at}"
    return {
        "name": name,
        "title": preset.title,
        "type": preset.instance["type"],
        "model": preset.instance.get("model", ""),
        "key": preset.key,
        "key_at": preset.key_at,
        "price": preset.price,
        "refused": preset.refused,
        "lost": preset.lost,
        "kept": preset.kept,
        "checked": preset.checked,
        "models": preset.models,
        "sizes": preset.sizes,
        "limits": preset.limits,
        "prices": preset.prices,
        "prices_on": None if preset.prices_on is None else preset.prices_on.isoformat(),
        "status": status,
    }


def _get_status(name: str, settings: Settings) -> str:
    try:
        missing = build_backend(name, settings).ready()
    except ConfigError as exc:
        # One broken instance must not hide the state of the others, so its error becomes its status.
        return f"not configured ({exc})"
    return OK if missing is None else f"not configured ({missing})"
