"""Lock on an output folder: one living run at a time.

The operating system holds the lock, so a killed run releases it. The holder's name beside it is for messages only.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.atomic_files import write_atomically
from tasks.core.errors import BatchLocked, OutputError
from tasks.core.paths import LOCK_NAME, require_folder
from tasks.core.safe_text import error_text
from tasks.ledger.database.postgresql_lock import is_held
from tasks.ledger.leases import LivingLease

HOLDER_NAME = "ledger.lock.holder"
MOST_NAMES = 3
MOST_HOLDER_CHARS = 200


@contextmanager
def lock_folder(out: Path, *, shown: str | None = None) -> Iterator[None]:
    """Hold the output folder for the duration of the block; makes the folder.

    Args:
        out: The folder.
        shown: Name of the folder in messages; None: its path.

    Raises:
        BatchLocked: Another living run holds it.
        OutputError: The folder cannot be made or written.
    """
    lock = FileLock(out / LOCK_NAME)
    # A file of that name, before `mkdir` says so in words of its own.
    require_folder(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Never waited for: the run that holds it may take hours.
        lock.acquire(blocking=False)
        # Replaced, never written through: a link of that name would lead out of the folder.
        write_atomically(out / HOLDER_NAME, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except Timeout:
        raise BatchLocked(
            f"{shown or out}: another run is writing to it ({_read_holder(out)}); wait for it or stop it"
        ) from None
    except OSError as exc:
        raise OutputError(f"{out}: cannot be written ({exc.strerror}); choose another folder with --out") from None
    try:
        yield
    finally:
        # While the lock is held: the next holder's name must not be removed.
        (out / HOLDER_NAME).unlink(missing_ok=True)
        lock.release()


def require_no_workers(out: str, leases: Sequence[LivingLease]) -> None:
    """Check that no worker of another run holds jobs of the batch.

    Raises:
        BatchLocked: A worker holds some. If it is dead, its jobs are free when the leases end.
    """
    if leases:
        left_s = ceil(max(lease.left_s for lease in leases))
        names = ", ".join(lease.owner for lease in leases[:MOST_NAMES])
        raise BatchLocked(
            f"{out}: workers still hold {sum(lease.jobs for lease in leases)} of its jobs ({names}); "
            f"stop them, or wait {left_s} s if they are dead already"
        )


def _read_holder(out: Path) -> str:
    path = out / HOLDER_NAME
    try:
        # Anyone who writes in the folder could point it at a private file, which a message would show.
        text = "" if path.is_symlink() else path.read_text(errors="replace")
    except OSError:
        text = ""
    return error_text(text, most_chars=MOST_HOLDER_CHARS) or "it did not say who"


def is_locked(out: Path) -> bool:
    """True while a living run holds the folder."""
    return is_file_locked(out / LOCK_NAME)


def is_file_locked(path: Path) -> bool:
    """True while another process holds the lock on this file; no file is made."""
    # A look must leave no file in somebody's folder.
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True
    except OSError:  # another user's, or read-only: it cannot be taken, but it can be asked
        return _is_locked_by_another(path)


def _is_locked_by_another(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            # Shared, because an exclusive lock needs a file that is open for writing on some systems.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def is_alive(engine: AsyncEngine, out: Path) -> bool:
    """True while a run holds the batch: on this machine, or on any machine where the ledger is on a server."""
    return is_locked(out) or (engine.dialect.name == "postgresql" and await is_held(engine))
