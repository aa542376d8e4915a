"""A disk that takes no more is no failed job: the batch stops, and goes on when there is room."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.core.errors import BatchStopped
from tasks.core.text import format_command


@contextmanager
def stop_when_full(out: object, *, disk: Path | None = None) -> Iterator[None]:
    """Run the block, which writes into the output `out`.

    Args:
        out: Its text says how to go on.
        disk: Where it writes, if not there.

    Raises:
        BatchStopped: It could not write. Nothing is lost, and nothing is paid twice on a resume.
    """
    try:
        yield
    except OSError as exc:
        why = _explain(disk or out, exc)
        raise BatchStopped(
            "disk", f"{why} and run `{format_command('resume', out)}`; nothing is paid twice", why=why
        ) from exc


def _explain(out: object, error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC:
            return f"the disk of {out} is full: free some space"
        case errno.EDQUOT:
            return f"the disk quota of {out} is used up: free some space or ask for more"
        case _:
            return f"{out} cannot be written ({error.strerror or error}): mend that"
