"""Processes that a test has started: none outlives it, whether it passed or not.

One that is left behind keeps a port, a lock or a core from the tests after it, and its unread pipes are warnings there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psutil

Started = TypeVar("Started", bound="subprocess.Popen[Any]")
_started: list[subprocess.Popen[Any]] = []


def note_started(process: Started) -> Started:
    """Have a process end with the test that runs; gives the process."""
    _started.append(process)
    return process


@contextmanager
def ending_started() -> Iterator[None]:
    """End what the block has started, children first found and all of them killed."""
    try:
        yield
    finally:
        while _started:
            _end(_started.pop())


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        with suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
        process.kill()
        process.wait()
    # Not read to their end: a process that was not found may hold the other end open.
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):  # what was still to be written to a process that is gone
                stream.close()
