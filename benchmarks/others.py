"""The share of the machine that other programs used meanwhile: a figure from a busy machine says so itself."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
"""Places in a line of /proc/stat (proc(5)): idle, and waiting for a disk."""
_COUNTED_TWICE = (8, 9)
"""Guests' time, which the first two places hold already."""
_PARENT, _USED = 1, slice(11, 15)
"""Places in /proc/PID/stat behind the program's name: its parent; its own time and that of its ended children."""


@dataclass(slots=True)
class Others:
    """Filled in when the block has ended."""

    percent: float = 0.0
    """Of the time of all cores; 0 where the system has no /proc."""


@contextmanager
def watch_others() -> Iterator[Others]:
    """Compare what the machine did during the block with what this process and those below it did."""
    found = Others()
    begun_s, busy_s, own_s = time.monotonic(), _read_busy_s(), _read_own_s()
    yield found
    whole_s = (time.monotonic() - begun_s) * (os.cpu_count() or 1)
    others_s = _read_busy_s() - busy_s - (_read_own_s() - own_s)
    found.percent = 100 * max(0.0, others_s) / whole_s


def _read_busy_s() -> float:
    """CPU seconds of all programs since the machine's start."""
    if not (file := _PROC / "stat").exists():
        return 0.0
    ticks = [int(text) for text in file.read_text().splitlines()[0].split()[1:]]
    return sum(value for place, value in enumerate(ticks) if place not in _IDLE + _COUNTED_TWICE) / _TICKS_PER_S


def _read_own_s() -> float:
    """CPU seconds of this process, of those below it, and of those that have ended."""
    if not _PROC.exists():
        return 0.0
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    fields = dict(_read_all_fields())
    return (
        time.process_time()
        + ended.ru_utime
        + ended.ru_stime
        + sum(sum(map(int, fields[pid][_USED])) / _TICKS_PER_S for pid in _find_below(os.getpid(), fields))
    )


def _read_all_fields() -> Iterator[tuple[int, list[str]]]:
    for folder in _PROC.glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text()
        except OSError:
            continue  # it ended meanwhile
        # The name is in brackets and may hold anything, brackets too.
        yield int(folder.name), text.rpartition(")")[2].split()


def _find_below(pid: int, fields: dict[int, list[str]]) -> list[int]:
    children = [one for one, values in fields.items() if int(values[_PARENT]) == pid]
    return [found for child in children for found in (child, *_find_below(child, fields))]
