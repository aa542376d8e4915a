"""Checks of what options are given, with messages that name the bounds in words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from tasks.core.paths import expand_home


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
        InputError: Nobody knows where the home folder is.
    """
    if value is None:
        return None
    expanded = expand_home(os.fspath(value))
    return Path(expanded) if isinstance(value, Path) else expanded
