"""Standard streams that may be closed, full, or of an encoding that cannot spell what is printed."""

from __future__ import annotations

import codecs
import json
import os
import sys
from contextlib import suppress
from typing import IO, TextIO

STANDARD_FDS = 3
ESCAPE = "imagen-escape"


def prepare_streams() -> None:
    """Give every closed stream a place to go to, and let none fail over a character."""
    # The system gives a closed descriptor to the next file that is opened, and what is printed would go into it.
    while (fd := os.open(os.devnull, os.O_RDWR)) < STANDARD_FDS:
        pass
    os.close(fd)
    sys.stdout = sys.stdout or _open_nowhere()
    sys.stderr = sys.stderr or _open_nowhere()
    codecs.register_error(ESCAPE, _escape)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # a stand-in, a pipe that cannot seek, a closed one
            # `reconfigure` keeps the stream and its buffer: another wrapper would lose what is written.
            stream.reconfigure(errors=ESCAPE)  # type: ignore[union-attr]  # see above


def is_unread() -> bool:
    """True where the reader of standard output went away while a command wrote to it, and Typer broke the command off."""
    # Typer puts a stand-in in the stream's place then. By its name: its module is Click's or Typer's own, by version.
    return type(sys.stdout).__name__ == "PacifyFlushWrapper"


def flush_output() -> str | None:
    """Write what is buffered; gives the reason where standard output takes no more.

    The stream is then cut off, because the interpreter would complain when it flushes it once more at its end.
    """
    try:
        sys.stdout.flush()
    # `imagen status | head` closes the pipe on purpose, so it is no failure.
    except BrokenPipeError:  # the reader has seen enough
        cut_off(sys.stdout)
    except OSError as exc:
        cut_off(sys.stdout)
        return exc.strerror
    except ValueError:  # closed by the command itself
        return None
    return None


def cut_off(stream: IO[str]) -> None:
    """Let whatever is still buffered go nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _open_nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  it stays open to the end


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""Spell a character as JSON does (`\u72d0`), so that JSON stays JSON and a person sees that something is there."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
