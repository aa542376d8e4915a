"""Databases and settings that this user has used on this machine, and that a ledger alone may name again.

A ledger may come from somebody else. The databases and settings in it are used only where the user's own configuration
names them, where a run of this user did before, or where the user says so (`TRUST_VARIABLE`, `--trust-ledger`).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.core.atomic_files import write_atomically
from tasks.core.errors import InputError
from tasks.core.paths import get_state_folder, locate_config
from tasks.core.values import is_yes

if TYPE_CHECKING:
    from tasks.core.configuration.settings import Settings

TRUST_VARIABLE = "IMAGEN_TRUST_LEDGER"
HOW_TO_TRUST = f"if it is yours, add --trust-ledger to `imagen resume`, or set {TRUST_VARIABLE}=true once"
FILE_NAME = "trusted.json"
MOST_KEPT = 1_000
Kind = Literal["databases", "settings"]


def is_trusted(kind: Kind, name: str) -> bool:
    """True where the user has used it before, or says now that it may be used."""
    return says_so() or name in _read().get(kind, [])


def says_so() -> bool:
    """True where the user trusts every ledger that this process opens."""
    return is_yes(os.environ.get(TRUST_VARIABLE))


def remember(kind: Kind, name: str) -> None:
    """Trust it from now on. Where the state folder cannot be written the next run asks again."""
    known = _read()
    if name in known.get(kind, []):
        return
    # The oldest go first: a nightly job must not let the file grow for ever.
    kept = {**known, kind: [*known.get(kind, []), name][-MOST_KEPT:]}
    with suppress(OSError):
        path = _get_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(kept, indent=1) + "\n").encode())


def load_own_settings() -> Settings:
    """The user's own configuration; the built-in one where there is none that can be read."""
    # Whatever opens a ledger loads this module, and few ledgers are on another machine.
    from tasks.core.configuration.settings import Settings, load_settings  # noqa: PLC0415

    try:
        return load_settings(locate_config())
    except InputError:
        return Settings()


def _get_path() -> Path:
    return get_state_folder() / FILE_NAME


def _read() -> dict[str, list[str]]:
    try:
        found = json.loads(_get_path().read_text(encoding="utf-8"))
    # A damaged file means that nothing is trusted, which only asks again.
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {kind: [str(name) for name in names] for kind, names in found.items() if isinstance(names, list)}
