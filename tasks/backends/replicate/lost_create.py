"""A create that was not answered: when it is looked for next, and what readings of the list have said about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasks.backends.replicate.list_reading import Wanted, Window
from tasks.core.errors import Ambiguous

PAUSE_S = 0.25
"""Between two looks at least."""
DOUBT_PATIENCE = 3
"""A create that the list says nothing certain about is given up after the usual patience times this."""
FEWEST_DOUBTS = 3
"""And after so many readings: on a busy machine the first one may come later than that, and one may be odd."""


@dataclass(eq=False, slots=True, kw_only=True)
class LostCreate:
    """A create that was not answered, and whoever waits for its prediction."""

    wanted: Wanted
    window: Window
    known: Collection[str]
    patience_s: float
    begun_s: float
    """Monotonic instant from which the list is waited for."""
    next_look_s: float
    """Monotonic instant from which on a sweep looks for it."""
    found: asyncio.Future[dict[str, Any] | None]
    doubts: int = 0
    """Readings that said nothing certain after the patience."""

    def plan_next_look(self, looked_s: float) -> None:
        """Set the next look after one at this instant: at twice the age, and when the patience is over."""
        age_s = looked_s - self.begun_s
        if age_s < self.patience_s:
            # Most show up at once. Looks at one pace would read the same pages eighty times in 20 s.
            self.next_look_s = self.begun_s + min(self.patience_s, max(2 * age_s, age_s + PAUSE_S))
        else:
            self.next_look_s = looked_s + max(PAUSE_S, self.patience_s / 4)

    def find_doubt(self, times: Iterable[datetime | None], *, is_whole: bool) -> str | None:
        """Why it is not certain that it made nothing, as it is not in the list; None where it is.

        Args:
            times: Creations of predictions that nobody has and that cannot be told from it.
            is_whole: The list was read to its end.
        """
        if not is_whole:
            return "the provider's list cannot be read to its end"
        return "a prediction of that time cannot be told from this one" if any(map(self.window.has, times)) else None

    def note_doubt(self, doubt: str, looked_s: float) -> None:
        """Count a reading that said nothing certain; after some of them it is given up."""
        self.doubts += 1
        # The list may be whole next time, and the answer to whose prediction it is may be on its way.
        if self.doubts >= FEWEST_DOUBTS and looked_s - self.begun_s >= DOUBT_PATIENCE * self.patience_s:
            self.found.set_exception(Ambiguous(doubt, cost_micros=None))


def fail_all(lost: Iterable[LostCreate], build: Callable[[], Exception]) -> None:
    """An error of its own for each: the engine writes into it what the attempt cost."""
    for item in lost:
        if not item.found.done():
            item.found.set_exception(build())
