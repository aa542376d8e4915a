"""One living run for each output folder.

The lock is the operating system's, so a run killed by any means gives it back; who holds it is written
beside it, for the message only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.errors import BatchLocked, OutputError

LOCK_NAME = "ledger.lock"
HOLDER_NAME = "ledger.lock.holder"


@contextmanager
def lock_folder(out: Path, *, shown: str | None = None) -> Iterator[None]:
    """Hold the output folder for the duration of the block; makes the folder.

    Args:
        out: The folder.
        shown: What messages call it; None: its path.

    Raises:
        BatchLocked: Another living run holds it.
        OutputError: The folder cannot be made or written.
    """
    lock = FileLock(out / LOCK_NAME)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        (out / HOLDER_NAME).write_text(f"process {os.getpid()} on {socket.gethostname()}")
    except Timeout:
        raise BatchLocked(
            f"{shown or out}: another run is writing to it ({_holder(out)}); wait for it or stop it"
        ) from None
    except OSError as exc:
        raise OutputError(f"{out}: cannot be written ({exc.strerror}); choose another folder with --out") from None
    try:
        yield
    finally:
        (out / HOLDER_NAME).unlink(missing_ok=True)
        lock.release()


def _holder(out: Path) -> str:
    try:
        return (out / HOLDER_NAME).read_text()
    except OSError:
        return "it did not say who"


def is_locked(out: Path) -> bool:
    """Whether a living run holds the folder."""
    if not (out / LOCK_NAME).exists():
        return False
    lock = FileLock(out / LOCK_NAME)
    try:
        with lock.acquire(blocking=False):
            return False
    except (Timeout, OSError):
        return True
