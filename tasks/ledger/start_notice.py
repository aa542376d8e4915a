"""Notice that a run is about to start: it reads its manifest, and has not locked its folder yet.

The notice lies in the user's state folder, because a run that is refused must leave no trace in the output folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.core.errors import InputError
from tasks.core.paths import get_state_folder
from tasks.ledger.lock import is_file_locked

FOLDER = "starting"
MOST_WAIT_S = 1.0
"""A look holds the notice's file for a moment."""


@contextmanager
def announce_start(address: str) -> Iterator[None]:
    """Let `is_starting` tell other processes of this user that a run is about to start; a killed one withdraws it.

    Args:
        address: Of the output, as `Output.address` gives it.
    """
    with ExitStack() as held:
        # Only whoever watches misses it: a state folder that cannot be written stops no run.
        with suppress(InputError, OSError, Timeout):
            path = _get_path(address)
            path.parent.mkdir(parents=True, exist_ok=True)
            held.callback(path.unlink, missing_ok=True)
            held.enter_context(FileLock(path).acquire(timeout=MOST_WAIT_S))
        yield


def is_starting(address: str) -> bool:
    """True while a run of this user reads the manifest for this output."""
    try:
        return is_file_locked(_get_path(address))
    except InputError:  # a user without a home folder has given no notice either
        return False


def _get_path(address: str) -> Path:
    return get_state_folder() / FOLDER / f"{sha256(address.encode(errors='surrogateescape')).hexdigest()[:32]}.lock"
