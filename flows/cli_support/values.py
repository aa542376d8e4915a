"""Values of options: checks whose messages name the bounds in words, whole paths, and the default output folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tasks.core.errors import InputError
from tasks.core.paths import expand_home, get_default_out, has_ledger

if TYPE_CHECKING:  # nothing heavy is loaded for `imagen --help`
    from tasks.core.configuration.settings import Settings
    from tasks.manifest import Manifest
    from tasks.manifest.reading import ReadOptions


def in_range(lowest: float, highest: float | None = None) -> Callable[[Any], Any]:
    """A callback that passes for a number within the bounds; help does not print them as `[0<=x<=1]`."""

    def check(value: Any) -> Any:
        if value is None or (lowest <= value and (highest is None or value <= highest)):
            return value
        bounds = f"from {lowest:,} to {highest:,}" if highest is not None else f"{lowest:,} or more"
        raise typer.BadParameter(f"{value} is not {bounds}.")

    return check


def expand_path(value: Any) -> Any:
    """A callback that puts the home folder in place of `~`: shells leave it after `=`, cron and systemd always do.

    Raises:
        InputError: Nobody knows where the home folder is, or the path is empty, as that of an unset variable.
    """
    if value is None:
        return None
    if isinstance(value, str) and not value.strip():
        raise InputError("A path of the command is empty. Is a variable in it not set?")
    expanded = expand_home(os.fspath(value))
    return Path(expanded) if isinstance(value, Path) else expanded


def expand_paths(values: list[str] | None) -> list[str] | None:
    """As `expand_path`, for an option of several paths; none of them means that it was not given."""
    return [expand_path(value) for value in values] if values else None


def read_switches(given: Any, settings: Settings) -> ReadOptions:
    """Options for reading a manifest: the command line's over the configuration's.

    Args:
        given: The options of a command that takes all those about reading.
        settings: The configuration.

    Raises:
        InputError: A column is given a meaning that there is not, or there is no such encoding.
    """
    from tasks.manifest.reading import build_read_options

    return build_read_options(
        settings.columns,
        file=settings.file,
        ignore=given.ignore_columns,
        prompt_column=given.prompt_column,
        literal=given.literal,
        encoding=given.encoding,
    )


def choose_out(manifest: Manifest) -> str:
    """The folder; a second manifest of one name gets one of its own, and standard error tells which."""
    usual = get_default_out(manifest.name)
    if not has_ledger(Path(usual)):  # a new folder needs no database, and none is loaded
        return usual
    import asyncio

    from tasks.runs.other_manifests import choose_default_out

    chosen = asyncio.run(choose_default_out(manifest))
    if chosen != usual:
        sys.stderr.write(f"{usual} belongs to another manifest, so {manifest.display} goes to {chosen}\n")
    return chosen
