"""Memory that does not grow with a batch, and a limit of the process's that is too low for Prefect."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TypeVar

from tasks.core.errors import ImagenError

T = TypeVar("T")

KEYS_PER_STATEMENT = 300
"""SQLite builds may take no more than 999 values in a statement, and a key has up to three."""

# A run of Prefect 3.9 takes 1.6 GB where nothing limits it, its server 1.2 GB. Both got by with this, and with 0.92 GB at times.
LEAST_ADDRESS_SPACE = 1_000_000 * 1024
"""Bytes; below, threads do not start and libraries do not load, here or in the server, and some wait for that for ever."""


def require_address_space() -> None:
    """Check that the limit of this process (`ulimit -v`) leaves Prefect and its server enough to work with.

    Raises:
        ImagenError: It does not. Nothing was spent.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise ImagenError(
            f"Prefect and its server need {LEAST_ADDRESS_SPACE // 1024:,} KB of address space each, and this process may have "
            f"{limit // 1024:,}. Raise the limit (ulimit -v); `imagen try` needs no server"
        )


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
