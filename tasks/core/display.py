"""The display of a running batch: what it can show, and which one is in use."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from tasks.core.standing import Standing


class Display(Protocol):
    """Shows how far a batch is."""

    def phase(self, text: str) -> None:
        """Say what is being done now, as `planning`."""

    def warn(self, text: str) -> None:
        """Say something that stays on the screen."""

    def start(self, left: int) -> None:
        """Generation of so many jobs begins."""

    def update(self, standing: Standing, elapsed_s: float) -> None:
        """Show how the batch stands after so many seconds of generation."""

    def finish(self) -> None:
        """Take the live parts off the screen; safe to call twice."""


class SilentDisplay:
    """Shows nothing."""

    def phase(self, text: str) -> None:
        """See `Display.phase`."""

    def warn(self, text: str) -> None:
        """See `Display.warn`."""

    def start(self, left: int) -> None:
        """See `Display.start`."""

    def update(self, standing: Standing, elapsed_s: float) -> None:
        """See `Display.update`."""

    def finish(self) -> None:
        """See `Display.finish`."""


current_display: ContextVar[Display] = ContextVar("display", default=SilentDisplay())  # noqa: B039  it keeps nothing
