"""Decoding within bounds: one budget of memory for all threads of the process, whatever each image takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

BUDGET_BYTES = 512 * 2**20
"""Memory of images in decoding, all threads together. An image that takes more is decoded alone."""
BYTES_PER_PIXEL = 4
"""Pillow stores RGB with a fourth byte."""


class DecodeBudget:
    """Lets decoders wait for each other; usable from every thread."""

    def __init__(self, most_bytes: int) -> None:
        """Let images of `most_bytes` be decoded at the same time."""
        self._most = self._free = most_bytes
        self._released = threading.Condition()
        self._first_in_line = threading.Lock()

    @contextmanager
    def reserve(self, width: int, height: int) -> Iterator[None]:
        """Hold the memory of an image of this size for the block, after a wait where others hold too much."""
        # Cut to the whole budget, or an image beyond it would wait for ever.
        wanted = min(width * height * BYTES_PER_PIXEL, self._most)
        # Who waits keeps the turn, so small images never pass a large one for ever.
        with self._first_in_line, self._released:
            self._released.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._released:
                self._free += wanted
                self._released.notify_all()  # only the first in line waits here


budget = DecodeBudget(BUDGET_BYTES)
"""The process' own."""
