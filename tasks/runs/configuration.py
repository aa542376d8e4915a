"""The configuration of a run or command: a file, or an address (https, s3, gs, az, hf) that is fetched when it begins."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path

from tasks.core.addresses import hide_secrets, is_cleartext
from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.errors import ConfigError
from tasks.core.paths import locate_config
from tasks.core.temporary_folder import TemporaryFolder
from tasks.manifest.remote import fetch, is_remote

_fetched: ContextVar[tuple[str, Settings] | None] = ContextVar("fetched_configuration", default=None)
"""The last one of this context: a run is checked and carried out with the same bytes."""


def choose_config(given: str | None) -> str | None:
    """The path or address of the configuration that counts for a command; None: the built-in settings.

    Args:
        given: What `--config` names; None: the file of this folder or the user's counts.

    Raises:
        InputError: The current folder was removed.
        ConfigError: Something else than a file is in the configuration's place.
    """
    if given is not None:
        return given
    found = locate_config()
    return None if found is None else str(found)


def load_named_settings(given: str | None) -> Settings:
    """Load the configuration that counts for a command, as `choose_config` finds it.

    Raises:
        InputError, ConfigError: There is none, or it cannot be reached, read or used. Nothing was spent.
    """
    return load_run_settings(choose_config(given), anew=True)


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
    shown = hide_secrets(place)
    # It names the addresses that keys are sent to, so nobody on the way may change it.
    if is_cleartext(place):
        raise ConfigError(f"{shown}: a configuration is fetched over https only")
    with TemporaryFolder() as folder:
        try:
            copies = fetch(place, Path(folder))
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{shown}: {exc}") from None
        if len(copies) > 1:
            raise ConfigError(f"{shown}: holds {len(copies)} files; name the one that is the configuration")
        [(path, _)] = copies
        try:
            return load_settings(path, source=shown)
        except ConfigError as exc:
            # The copy is nowhere that a person could look.
            raise ConfigError(str(exc).replace(str(path), shown)) from None
