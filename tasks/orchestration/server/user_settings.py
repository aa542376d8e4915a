"""The user's Prefect settings, read without importing Prefect, which takes seconds.

Takes an environment and the current folder; gives the value Prefect itself would use, looking where Prefect 3.9
looks and in its order: environment, `.env`, `prefect.toml`, `pyproject.toml`, the active profile. It knows no defaults
and checks no value: that stays with Prefect.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.core.errors import ConfigError

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
    found = _find_in_environment(environ, variable)
    # The order is Prefect's own, so a setting that it would use is the one that is seen here.
    if found is None:
        found = _find_in_project_files(toml_path)
    if found is None:
        found = _get_nested(_read_active_profile(environ), (variable,))
    return None if found is None else str(found)


def _find_in_environment(environ: Mapping[str, str], variable: str) -> str | None:
    """Prefect reads variable names in any case, and lets the environment win over `.env`."""
    for name, value in environ.items():
        if name.upper() == variable:
            return value
    return _find_in_dotenv(variable)


def _find_in_dotenv(variable: str) -> str | None:
    text = _read_text(Path(".env"))
    # A `.env` file may write `export NAME=value`, as a shell would.
    match = re.search(rf"(?mi)^[ \t]*(?:export[ \t]+)?{variable}[ \t]*=[ \t]*(.*?)[ \t]*$", text or "")
    return match[1].strip("'\"") if match else None


def _find_in_project_files(toml_path: tuple[str, ...]) -> Any:
    found = _get_nested(_read_toml(Path("prefect.toml")), toml_path)
    return _get_nested(_read_toml(Path("pyproject.toml")), (*PYPROJECT_TABLE, *toml_path)) if found is None else found


def _read_active_profile(environ: Mapping[str, str]) -> Any:
    profiles = _read_toml(_find_profiles_file(environ))
    # Without a name Prefect uses the profile that is marked active.
    active = environ.get("PREFECT_PROFILE") or _get_nested(profiles, ("active",))
    return _get_nested(profiles, ("profiles", str(active)))


def _find_profiles_file(environ: Mapping[str, str]) -> Path:
    named = _find_in_environment(environ, "PREFECT_PROFILES_PATH") or _find_in_project_files(("profiles_path",))
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
