"""Counts of one run while it goes on, for the progress display and the news between workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.core.records import JobState
from tasks.ledger.leases import SilentJobs


@dataclass(slots=True)
class Tally:
    """Counts of this run so far, for the progress display."""

    succeeded: int = 0
    failed: int = 0
    in_flight: int = 0
    cost_micros: int = 0
    cost_unknown: int = 0
    committed_micros: int | None = None
    """Spent or reserved of the cap by all workers; None where this process reserves by itself."""

    silent: SilentJobs = field(default_factory=SilentJobs)
    """Jobs of workers that are dead or hang, which others take over once their leases have ended."""

    @property
    def done(self) -> int:
        """Jobs that ended, with or without an image."""
        return self.succeeded + self.failed

    def count_end(self, state: JobState) -> None:
        """Count a job's end."""
        if state is JobState.SUCCEEDED:
            self.succeeded += 1
        else:
            # Held jobs count as failed here: neither has an image.
            self.failed += 1

    def count_cost(self, cost_micros: int | None) -> None:
        """Count an attempt's cost."""
        self.cost_micros += cost_micros or 0
        self.cost_unknown += cost_micros is None
