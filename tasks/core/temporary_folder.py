"""Temporary folders that a killed process does not leave behind for ever.

They hold what may be large: the files of a batch API, copies of ledgers, manifests from standard input. Each is locked by
its process, and the system takes the lock from a process that is killed, so the next one sees whose folders are nobody's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

PREFIX = "imagen-work-"
YOUNG_S = 3_600.0
"""A folder of this age may be one that its process has made and not locked yet."""


class TemporaryFolder(TemporaryDirectory[str]):
    """As `tempfile.TemporaryDirectory`. The first of a process removes those that killed processes have left."""

    def __init__(self) -> None:
        """Make and lock the folder.

        Raises:
            OSError: There is no place for temporary files.
        """
        remove_abandoned(gettempdir())
        super().__init__(prefix=PREFIX)
        self._lock = os.open(self.name, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks: nobody can take the folder there, so it stays
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def cleanup(self) -> None:
        """Remove the folder, and then its lock; a second call does nothing."""
        super().cleanup()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


@cache
def remove_abandoned(parent: str) -> None:
    """Remove this user's folders that no process holds, once in a process; one that cannot be removed stays."""
    with suppress(OSError):
        for path in Path(parent).glob(f"{PREFIX}*"):
            with suppress(OSError), _hold(path):
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    """Hold the lock of a folder for the block.

    Raises:
        OSError: It is a living process's, another user's, young, or no folder.
    """
    # No link is followed: in a folder for everybody, anybody could let one lead to this user's files.
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(lock)
        if found.st_uid != os.getuid() or found.st_mtime > time.time() - YOUNG_S:
            raise PermissionError
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)
