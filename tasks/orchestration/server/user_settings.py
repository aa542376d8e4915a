"""The user's Prefect settings, read without importing Prefect, which takes seconds.

Takes an environment and the current folder; gives the value Prefect itself would use, looking where Prefect 3.9
looks and in its order: environment, `.env`, `prefect.toml`, `pyproject.toml`, the active profile. It knows no defaults
and checks no value: that stays with Prefect.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import ConfigError

PREFECT_FILE, PYPROJECT_FILE = Path("prefect.toml"), Path("pyproject.toml")
PYPROJECT_TABLE = ("tool", "prefect")


def find_setting(environ: Mapping[str, str], variable: str, toml_path: tuple[str, ...]) -> str | None:
    """Value of the setting `variable`, None where the user has not set it.

    Args:
        environ: the environment Prefect will be started with.
        variable: the setting's name in an environment and in a profile, such as `PREFECT_API_URL`.
        toml_path: the setting's place in `prefect.toml`, such as `("api", "url")`.

    Raises:
        ConfigError: a settings file cannot be read; Prefect would fail on it too.
    """
    located = locate_setting(environ, variable, toml_path)
    return None if located is None else located.value


@dataclass(frozen=True, slots=True)
class Located:
    """A setting of the user's."""

    value: str
    place: str
    """Where it stands; empty: in the environment."""


def locate_setting(environ: Mapping[str, str], variable: str, toml_path: tuple[str, ...]) -> Located | None:
    """The setting with its place, for a message to those who did not know that it is set; see `find_setting`."""
    found = ((place, value) for place, value in _look_in_places(environ, variable, toml_path) if value is not None)
    return next((Located(str(value), place) for place, value in found), None)


def _look_in_places(environ: Mapping[str, str], variable: str, toml_path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Look in one place after the other, no further than somebody asks: a later file may be one that cannot be read."""
    # The order is Prefect's own, so a setting that it would use is the one that is seen here.
    yield from _look_beside_profiles(environ, variable, toml_path)
    name, profile = _read_active_profile(environ)
    yield f"the profile {name!r} in {_find_profiles_file(environ)}", _get_nested(profile, (variable,))


def _look_beside_profiles(
    environ: Mapping[str, str], variable: str, toml_path: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    yield "", _find_variable(environ, variable)
    yield ".env", _find_in_dotenv(variable)
    yield "prefect.toml", _get_nested(_read_toml(PREFECT_FILE), toml_path)
    yield "pyproject.toml", _get_nested(_read_toml(PYPROJECT_FILE), (*PYPROJECT_TABLE, *toml_path))


def _find_variable(environ: Mapping[str, str], variable: str) -> str | None:
    """Prefect reads variable names in any case."""
    return next((value for name, value in environ.items() if name.upper() == variable), None)


def _find_in_dotenv(variable: str) -> str | None:
    text = _read_text(Path(".env"))
    # A `.env` file may write `export NAME=value`, as a shell would.
    match = re.search(rf"(?mi)^[ \t]*(?:export[ \t]+)?{variable}[ \t]*=[ \t]*(.*?)[ \t]*$", text or "")
    return match[1].strip("'\"") if match else None


def _read_active_profile(environ: Mapping[str, str]) -> tuple[str, Any]:
    profiles = _read_toml(_find_profiles_file(environ))
    # Without a name Prefect uses the profile that is marked active.
    active = str(environ.get("PREFECT_PROFILE") or _get_nested(profiles, ("active",)))
    return active, _get_nested(profiles, ("profiles", active))


def _find_profiles_file(environ: Mapping[str, str]) -> Path:
    # Where it is cannot stand in a profile, which is looked at last.
    places = _look_beside_profiles(environ, "PREFECT_PROFILES_PATH", ("profiles_path",))
    named = next((value for _, value in places if value), None)
    home = environ.get("PREFECT_HOME") or "~/.prefect"
    return Path(named) if named else Path(home).expanduser() / "profiles.toml"


def _get_nested(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _read_toml(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Prefect fails on the same file, with a message that names no file.
        raise ConfigError(f"{path}: not valid TOML: {error}. Prefect reads its settings from this file.") from error


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}. Prefect reads its settings from this file.") from error
