"""The configuration of a run: a file, or an address (https, s3, gs, az, hf) that is fetched when the run begins."""

from __future__ import annotations

import tempfile
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import urlsplit

from tasks.core.addresses import is_loopback
from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.errors import ConfigError
from tasks.manifest.remote import fetch, is_remote

_fetched: ContextVar[tuple[str, Settings] | None] = ContextVar("fetched_configuration", default=None)
"""The last one of this context: a run is checked and carried out with the same bytes."""


def load_run_settings(place: str | None, *, anew: bool) -> Settings:
    """Load the configuration of a run; None: the built-in settings.

    Args:
        place: A path or an address.
        anew: Fetch it even where this context has fetched it already.

    Raises:
        ConfigError: It cannot be reached, read or used. Nothing was spent; trying again helps where it is away.
    """
    if place is None or not is_remote(place):
        return load_settings(None if place is None else Path(place))
    if not anew and (known := _fetched.get()) is not None and known[0] == place:
        return known[1]
    settings = _fetch_settings(place)
    _fetched.set((place, settings))
    return settings


def _fetch_settings(place: str) -> Settings:
    parts = urlsplit(place)
    # It names the addresses that keys are sent to, so nobody on the way may change it.
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigError(f"{place}: a configuration is fetched over https only")
    with tempfile.TemporaryDirectory(prefix="imagen-") as folder:
        try:
            copies = fetch(place, Path(folder))
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{place}: {exc}") from None
        if len(copies) > 1:
            raise ConfigError(f"{place}: holds {len(copies)} files; name the one that is the configuration")
        [(path, _)] = copies
        try:
            return load_settings(path, source=place)
        except ConfigError as exc:
            # The copy is nowhere that a person could look.
            raise ConfigError(str(exc).replace(str(path), place)) from None
