"""Default places: the output folder, the configuration file, the user's own state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from platformdirs import user_config_path, user_state_path

from tasks.core.errors import ConfigError, InputError, OutputError

APP = "imagen"
SHOWN_CHARACTERS = 120
CONFIG_NAME = "imagen.yaml"
RUNS_FOLDER = "runs"
LEDGER_NAME = "ledger.db"
POINTER_NAME = "ledger.json"
"""In place of the ledger where that is elsewhere: the way there."""
LOCK_NAME = "ledger.lock"
"""The first file of a batch: a run that was killed at once has left no other."""


def get_default_out(manifest_name: str) -> str:
    """The output folder of a manifest."""
    return str(Path(RUNS_FOLDER) / manifest_name)


def get_ledger_path(out: Path) -> Path:
    """The ledger's path in an output folder, or in a bucket's folder on this machine."""
    return out / LEDGER_NAME


def has_ledger(out: Path) -> bool:
    """True if the folder is a batch's.

    Raises:
        InputError: In the place of its ledger lies something that is no file: a folder, a pipe, a link to nothing.
    """
    # Not the methods of `Path`, which raise where a name is too long.
    there = [out / name for name in (LEDGER_NAME, POINTER_NAME) if os.path.lexists(out / name)]
    for path in there:
        if not os.path.isfile(path):  # noqa: PTH113  a pipe would be waited for
            raise InputError(f"{path}: is no file, so it is no ledger. Take it away, or choose another output folder")
    return bool(there)


def find_batches(folder: Path) -> Iterator[Path]:
    """The folder itself where it is a batch's, else every batch below it, in the order of their names."""
    for name, below, files in os.walk(folder):
        below.sort()
        if {LEDGER_NAME, POINTER_NAME} & set(files):
            # A batch is not searched: it has 256 folders of images, and no batch in them.
            below.clear()
            yield Path(name)


def get_state_folder() -> Path:
    """The user's state folder of this program (usage database, server logs); not made here.

    Raises:
        InputError: This user has no home folder.
    """
    try:
        return Path(expand_home(str(user_state_path(APP))))
    except RuntimeError:  # no HOME, and no entry in the system's list of users
        raise InputError("This user has no home folder. Set HOME, or XDG_STATE_HOME for the state folder.") from None


def find_config(*, cwd: Path) -> Path | None:
    """The configuration file that counts where none is named: `./imagen.yaml`, the user's; None: built in.

    Raises:
        ConfigError: Something else than a file is in its place.
    """
    candidates = [cwd / CONFIG_NAME]
    with suppress(RuntimeError):  # a user without a home folder has no configuration there
        candidates.append(user_config_path(APP) / CONFIG_NAME)
    found = next((path for path in candidates if os.path.lexists(path)), None)
    # Passed over in silence, another configuration would count than the one that was meant.
    if found is not None and not found.is_file():
        raise ConfigError(
            f"{found}: is not a file but a folder, a device or a link to nothing; remove it, or say --config"
        )
    return found


def locate_config() -> Path | None:
    """The configuration file that counts for this process where none is named; None: the built-in settings.

    Raises:
        InputError: The current folder was removed.
        ConfigError: Something else than a file is in the configuration's place.
    """
    try:
        return find_config(cwd=Path.cwd())
    except FileNotFoundError:
        raise InputError("the current folder is not there any more; go to another one") from None


def expand_home(text: str) -> str:
    """The path with the home folder in place of a leading `~` or `~user`; URLs and names like `~backup` stay.

    Raises:
        InputError: `~` stands for a home folder that nobody knows.
    """
    expanded = os.path.expanduser(text)  # noqa: PTH111  leaves what it does not know, `Path.expanduser` raises
    # `expanduser` leaves it as it is, and a folder named `~` would be made.
    if expanded == "~" or expanded.startswith("~/"):
        raise InputError(f"{text}: this user has no home folder. Set HOME, or write the whole path.")
    return expanded


def make_whole(place: str, base: Path) -> str:
    """The path as any folder understands it, from `base` on; URLs stay as they are.

    Raises:
        InputError: `~` stands for a home folder that nobody knows.
    """
    return place if "://" in place else str(base / expand_home(place))


def require_folder(out: Path) -> None:
    """Pass for a folder, and for a path where one can be made.

    Raises:
        OutputError: A file or a link to nothing is in its place, or above it, or the name is too long.
    """
    try:
        # The nearest one that exists decides: `mkdir` makes those below it.
        for path in (out, *out.parents):
            if path.exists():
                if not path.is_dir():
                    raise OutputError(f"{path} is a file, not a folder. Choose another --out.")
                return
            if path.is_symlink():
                raise OutputError(f"{path} is a link that leads to nothing. Choose another --out.")
    except OSError as exc:
        raise OutputError(f"{shorten_path(out)}: {exc.strerror}. Choose another --out.") from None


def shorten_path(path: Path) -> str:
    """The path for a message; of a very long one, its start."""
    text = str(path)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
