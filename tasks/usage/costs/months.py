"""The month that is reported and the one before it, in the machine's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


@dataclass(frozen=True, slots=True)
class Months:
    """The present month up to now, and the whole one before it."""

    now: datetime
    """Aware; its local day is the last one of the report."""

    @property
    def today(self) -> date:
        """The local day."""
        return self.now.astimezone().date()

    @property
    def first(self) -> date:
        """The first day of this month."""
        return self.today.replace(day=1)

    @property
    def first_before(self) -> date:
        """The first day of the month before."""
        return (self.first - timedelta(days=1)).replace(day=1)

    @property
    def end(self) -> date:
        """The first day of the next month."""
        return (self.first + timedelta(days=31)).replace(day=1)

    @property
    def since(self) -> datetime:
        """The first instant of the month before, in UTC."""
        # By the calendar: the machine's zone may have had another offset then.
        return datetime.combine(self.first_before, time()).astimezone(UTC)

    @property
    def same_days_end(self) -> date:
        """The day after the last one of the month before that this month has reached too."""
        return min(self.first_before + timedelta(days=self.today.day), self.first)

    @property
    def days_left(self) -> float:
        """Days until the end of this month, today's rest among them as a fraction."""
        end = datetime.combine(self.end, time()).astimezone(UTC)
        return max(0.0, (end - self.now).total_seconds() / 86_400)

    def is_this_month(self, day: str) -> bool:
        """True for a day (`2026-11-24`) of this month, or after it: a sink's clock may be ahead."""
        return day >= self.first.isoformat()

    def is_same_days(self, day: str) -> bool:
        """True for a day of the month before up to the same day of the month."""
        return day < self.same_days_end.isoformat()

    def list_days(self, count: int) -> list[str]:
        """The last so many whole days before today."""
        return [(self.today - timedelta(days=back)).isoformat() for back in range(count, 0, -1)]
