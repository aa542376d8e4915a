"""Progress of a batch, and the display that shows it."""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

from tasks.core.money import format_micros
from tasks.core.text import format_count

RATE_OVER_S = 30.0
"""The rate is that of the last so many seconds: it follows a provider that slows down, and does not jump about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressSnapshot:
    """One moment of a batch."""

    total: int
    """Jobs that are to be done."""
    done: int
    """Those of them that ended, one way or the other."""
    failed: int
    in_flight: int
    rate_per_s: float
    """Jobs that end in a second now; 0 where none has."""
    cost_micros: int
    cost_unknown: int
    """Attempts whose cost is not known."""
    draining: bool = False
    """No more are started; what is in flight lands."""
    interrupted: bool = False
    """Because somebody asked for it."""
    slowed_to_per_min: float | None = None
    """The rate of calls that the provider has cut it to; None while it has not."""
    pause_s: float = 0.0
    """Seconds that the provider still asks to wait."""
    silent_jobs: int = 0
    """Jobs of workers that give no sign of life."""
    silent_left_s: float = 0.0
    """Seconds until others take them over."""

    @property
    def left_s(self) -> float | None:
        """Seconds to go at the present rate."""
        return (self.total - self.done) / self.rate_per_s if self.rate_per_s > 0 else None

    @property
    def projected_micros(self) -> int | None:
        """Project the cost of the whole batch from the jobs so far."""
        # None for a free batch: a projection of $0.00 says nothing.
        return self.cost_micros * self.total // self.done if self.cost_micros and self.done else None


class RateMeter:
    """Jobs that end in a second, over the last while."""

    def __init__(self) -> None:
        """Start to measure with the first `rate_per_s`."""
        self._seen: deque[tuple[float, int]] = deque()

    def rate_per_s(self, now_s: float, done: int) -> float:
        """Note how many have ended by now, and give the rate."""
        self._seen.append((now_s, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - RATE_OVER_S:  # noqa: PLR2004  one before the window stays
            self._seen.popleft()
        since_s, before = self._seen[0]
        return (done - before) / (now_s - since_s) if now_s > since_s else 0.0


class Display:
    """Shows how far a batch is; this one shows nothing, and those that show something derive from it."""

    def phase(self, text: str) -> None:
        """Say what is being done now, as `planning`."""

    def warn(self, text: str) -> None:
        """Say something that stays on the screen."""

    def alert(self, text: str) -> None:
        """As `warn`, where a promise about money does not hold: a display that is quiet shows it too."""
        self.warn(text)

    def note(self, text: str) -> None:
        """Say something that stays on the screen and is no reason to worry."""

    def start(self, left: int) -> None:
        """Generation of so many jobs begins."""

    def update(self, progress: ProgressSnapshot, elapsed_s: float) -> None:
        """Show how the batch stands after so many seconds of generation."""

    def finish(self) -> None:
        """Take the live parts off the screen; safe to call twice."""


# A context variable, so that two runs in one process do not share a screen.
current_display: ContextVar[Display] = ContextVar("display", default=Display())  # noqa: B039  it keeps nothing


def describe_progress(progress: ProgressSnapshot) -> str:
    """Everything but the bar in a few words."""
    return ", ".join([f"{progress.failed} failed", *list_progress(progress), *describe_slowdown(progress)])


def list_progress(progress: ProgressSnapshot) -> list[str]:
    """Flight, rate, time left and dollars."""
    parts = [f"{progress.in_flight} in flight"]
    if progress.draining:
        # A batch that stopped by itself has not had its first Ctrl-C yet.
        again = "again" if progress.interrupted else "twice"
        return [*parts, format_cost(progress), f"Ctrl-C {again} stops now"]
    if progress.left_s is not None:
        parts += [format_rate(progress), f"{timedelta(seconds=round(progress.left_s))} left"]
    return [*parts, format_cost(progress)]


def format_rate(progress: ProgressSnapshot) -> str:
    """By the second, or by the minute where that is less than one."""
    per_s = progress.rate_per_s
    # A local GPU's rate would be 0.0/s.
    return f"{per_s:.1f}/s" if per_s >= 1 else f"{60 * per_s:.1f}/min"


def format_cost(progress: ProgressSnapshot) -> str:
    """Dollars spent and projected."""
    spent = format_micros(progress.cost_micros)
    if progress.projected_micros is not None:
        spent += f" of about {format_micros(progress.projected_micros)}"
    return f"{spent} and {progress.cost_unknown} unknown" if progress.cost_unknown else spent


def describe_slowdown(progress: ProgressSnapshot) -> list[str]:
    """Describe the provider's slowdown, and jobs that wait for a dead worker's leases, while either lasts."""
    parts = []
    if progress.slowed_to_per_min is not None:
        parts.append(f"slowed to {progress.slowed_to_per_min:,.0f}/min by the provider")
    if progress.pause_s >= 1:
        parts.append(f"asked to wait {progress.pause_s:.0f} s")
    if progress.silent_jobs:
        parts.append(describe_silent(progress.silent_jobs, progress.silent_left_s))
    return [", ".join(parts)] if parts else []


def describe_silent(jobs: int, left_s: float) -> str:
    """Say how long the jobs of a dead worker wait: until its leases end, because it may only be slow."""
    return f"{format_count(jobs, 'job')} of a worker without a sign of life free in {max(1, left_s):.0f} s"
