"""Memory that does not grow with a batch: items in parts, one heap for all threads, and freed memory handed back."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

KEYS_PER_STATEMENT = 300
"""SQLite builds may take no more than 999 values in a statement, and a key has up to three."""


def split_chunks(items: Iterable[T], size: int = KEYS_PER_STATEMENT) -> Iterator[list[T]]:
    """Give the items in lists of `size`; the last one may be shorter. Only one list is in memory at a time."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""


def share_heap() -> None:
    """Let threads that start from now on share one heap, where the C library has several (glibc)."""
    # A heap for each thread keeps the holes of the images that passed through it: 22 MB at 1.4 MB an image.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def release_free_memory() -> None:
    """Hand free memory back to the system, where the C library knows how (glibc); elsewhere nothing happens."""
    # Images of megabytes leave holes between small objects, which glibc keeps until it is asked.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
