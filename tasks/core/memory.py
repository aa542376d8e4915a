"""Memory that a process has freed and its C library keeps."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def release_free_memory() -> None:
    """Hand free memory back to the system, where the C library knows how (glibc); elsewhere nothing happens."""
    # Images of megabytes leave holes between small objects, which glibc keeps until it is asked.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
