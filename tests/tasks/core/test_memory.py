"""Memory of the process: heaps of the C library."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

from tasks.core.errors import ImagenError
from tasks.core.memory import LEAST_ADDRESS_SPACE, require_address_space

HEAPS = """
import ctypes, threading
from tasks.core.memory import share_heap
share_heap()
libc, together = ctypes.CDLL(None), threading.Barrier(5)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
def allocate():
    libc.malloc(4096)
    together.wait()
for _ in range(4):
    threading.Thread(target=allocate).start()
together.wait()
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have one heap")
def test_threads_share_a_heap() -> None:
    """A thread gets no heap of its own, which would keep the holes of the images that passed through it."""
    told = subprocess.run([sys.executable, "-c", HEAPS], capture_output=True, text=True, check=True).stdout
    assert told.count("<heap nr=") == 1


@pytest.mark.parametrize("limit", [700_000 * 1024, LEAST_ADDRESS_SPACE, resource.RLIM_INFINITY])
def test_a_limit_that_is_too_low_for_prefect_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Threads that do not start leave a run or its server waiting for them."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, resource.RLIM_INFINITY))
    if limit == 700_000 * 1024:
        with pytest.raises(ImagenError, match=r"this process may have 700,000\. Raise the limit \(ulimit -v\)"):
            require_address_space()
    else:
        require_address_space()
