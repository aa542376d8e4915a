"""The surroundings of a measured process: an environment of its own, an empty folder, a Prefect server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.work import TOKEN
from tasks.orchestration.server.connection import connect, set_quiet_defaults

PERSONAL_PREFIXES = ("PREFECT", "XDG_", "MAI_", "TMUX", "REPLICATE_")
NOWHERE = "http://127.0.0.1:1/api"
"""Stands for the default port, so that no server of the machine's user is taken."""


def build_private_environ(home: Path) -> dict[str, str]:
    """An environment with none of the user's settings, whose home, Prefect's data included, is `home`."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PERSONAL_PREFIXES)}
    environ = {**kept, "HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "REPLICATE_API_TOKEN": TOKEN}
    # An installed package is compiled. Where Python may not write that down, each start would compile our modules, not Prefect's.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    set_quiet_defaults(environ)
    return environ


@contextmanager
def make_empty_folder(folder: Path) -> Iterator[Path]:
    """The folder, empty at the beginning of the block and gone at its end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def start_prefect_server(home: Path) -> Iterator[Mapping[str, str]]:
    """A Prefect server for the duration of the block.

    Returns:
        The environment of `home` that leads to it.
    """
    environ = build_private_environ(home)
    handle = connect(home / "state", environ, on_wait=lambda _: None, default_api_url=NOWHERE)
    try:
        yield dict(environ)
    finally:
        handle.stop()
