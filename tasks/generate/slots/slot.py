"""One of the predictions in flight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Places(Protocol):
    """A number of places."""

    async def acquire(self) -> object:
        """Wait for a free one, and take it."""

    def release(self) -> None:
        """Give one back."""


class Slot:
    """One of the predictions in flight: acquired while it runs, released as soon as it has ended."""

    def __init__(self, places: Places, count: Callable[[int], None]) -> None:
        """Make a slot of this pool; `count` gets 1 when it is acquired and -1 when it is released."""
        self._places = places
        self._count = count
        self._is_taken = False

    async def acquire(self) -> None:
        """Wait for a free slot; a second call does nothing."""
        if not self._is_taken:
            # Marked as taken only after the wait: a cancelled one must not free a slot that it never had.
            await self._places.acquire()
            self._is_taken = True
            self._count(1)

    def release(self) -> None:
        """Free the slot for the next job; a second call does nothing."""
        if self._is_taken:
            self._places.release()
            self._is_taken = False
            self._count(-1)
