"""Writes that fail: a run stops and goes on when there is room, any other command is given again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.core.errors import BatchStopped, OutputError
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
        # `why` alone, without the resume, is for commands that run no batch.
        why = _explain(disk or out, exc)
        raise BatchStopped(
            "disk", f"{why} and run `{format_command('resume', out)}`; nothing is paid twice", why=why
        ) from exc


@contextmanager
def explain_write_errors(what: str, out: object) -> Iterator[None]:
    """Run the block, which writes `what` into the output of a batch that does not run.

    Raises:
        OutputError: It could not be written. Nothing was spent; the same command may be given again.
    """
    try:
        yield
    except BatchStopped as exc:
        # Its first half alone: there is no run to resume.
        raise OutputError(f"{out}: {what} cannot be written: {exc.why}") from exc
    except OSError as exc:
        raise OutputError(f"{out}: {what} cannot be written ({exc.strerror or exc})") from exc


def _explain(out: object, error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC:
            return f"the disk of {out} is full: free some space"
        case errno.EDQUOT:
            return f"the disk quota of {out} is used up: free some space or ask for more"
        case _:
            return f"{out} cannot be written ({error.strerror or error}): correct the cause"
