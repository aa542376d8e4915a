"""Memory of the process: heaps of the C library."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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
