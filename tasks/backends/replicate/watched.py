"""A prediction that somebody waits for, and what the looks at it have shown so far."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class Watched:
    """A prediction that somebody waits for."""

    prediction_id: str
    created_at: datetime | None
    """By the provider's clock; None for one of an earlier run."""
    since_s: float
    """Monotonic instant of its submit, as far as known."""
    next_look_s: float
    answer: asyncio.Future[dict[str, Any]]
    is_late: bool = False
    """It was created long before it was waited for, as one that a look-up has found."""
    missed_since_s: float | None = None
    """Monotonic instant of the first list in a row that did not show it."""
    is_alone: bool = False
    """It is asked for by its id, because lists do not show it, or not readably."""
    is_asked: bool = False
    """A look at it is under way."""
    broken: int = 0
    """Answers in a row that could not be understood."""

    @property
    def is_listable(self) -> bool:
        """True where lists show it, as far as known."""
        # Without its creation by the provider's clock, no window of a list is sure to hold it. A window for old and new ones
        # would hold all that was made in between, page after page, until the old ones end.
        return self.created_at is not None and not self.is_late and not self.is_alone
