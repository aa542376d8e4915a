"""The time that a model's predictions take, learned from those that ended, and when to look at the next one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median_low

from tasks.backends.client.polling import FIRST_LOOK_SHARE, NEXT_LOOK_AGE_SHARE, NEXT_LOOK_SHARE
from tasks.core.clock import learn_time

QUICK_SHARE = 0.9
"""Of the quickest time seen lately: nothing that is younger is listed."""
QUICK_FORGETS = 0.02
LATE = timedelta(seconds=2)
"""By how much a prediction that is watched from now on, such as one that a look-up has found, may be older than the last ones."""
RECENT = 101
"""Creations that say when the last ones were made: neither one odd time nor a look-up that finds dozens at once moves that."""


@dataclass(slots=True)
class PredictionTimes:
    """Running estimates, in seconds."""

    usual_s: float
    """Of a prediction's time."""
    quick_s: float = field(init=False)
    """Of the quickest prediction's time."""
    _created: deque[datetime] = field(init=False)
    """Creations of the last predictions, by the provider's clock."""

    def __post_init__(self) -> None:
        """Nothing was seen yet, so the first may be quicker than usual."""
        self.quick_s = self.usual_s / 2
        self._created = deque(maxlen=RECENT)

    @property
    def first_look_s(self) -> float:
        """Seconds from a prediction's create to the first look at it."""
        return self.usual_s * FIRST_LOOK_SHARE

    @property
    def youngest_s(self) -> float:
        """Age from which a prediction may have ended."""
        return self.quick_s * QUICK_SHARE

    def choose_pause_s(self, age_s: float) -> float:
        """Seconds until the next look at a prediction of this age."""
        return max(self.usual_s * NEXT_LOOK_SHARE, age_s * NEXT_LOOK_AGE_SHARE)

    def is_late(self, created_at: datetime) -> bool:
        """True for a new one to watch that is much older than the last ones, and may have ended long ago."""
        self._created.append(created_at)
        return median_low(self._created) - created_at > max(LATE, timedelta(seconds=self.usual_s))

    def learn(self, seconds: float) -> None:
        """Take one prediction's time into the estimates."""
        self.usual_s = learn_time(self.usual_s, seconds)
        # A quicker one counts at once, and is forgotten slowly: lists that begin too late would leave out what has ended.
        weight = 1.0 if seconds < self.quick_s else QUICK_FORGETS
        self.quick_s += weight * (seconds - self.quick_s)
