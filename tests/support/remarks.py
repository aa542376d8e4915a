"""What a user is told while a test runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.core.display import Display, current_display


class _Remarks(Display):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warn(self, text: str) -> None:
        """See `Display.warn`."""
        self.texts.append(text)


@contextmanager
def hear() -> Iterator[list[str]]:
    """The warnings of the block, one after another."""
    token = current_display.set(display := _Remarks())
    try:
        yield display.texts
    finally:
        current_display.reset(token)
