"""How far a batch is, in numbers and in words; whoever shows it, a run or a watcher beside it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from tasks.core.records import to_usd

RATE_OVER_S = 30.0
"""The rate is that of the last so many seconds: it follows a provider that slows down, and does not jump about."""

WHOLE_CENTS_FROM_MICROS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
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
    """How long the provider asks to wait yet."""

    @property
    def left_s(self) -> float | None:
        """Seconds to go at the present rate."""
        return (self.total - self.done) / self.rate_per_s if self.rate_per_s > 0 else None

    @property
    def projected_micros(self) -> int | None:
        """What all of it will cost, if the rest costs what the jobs so far did."""
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


def described(standing: Standing) -> str:
    """Everything but the bar in a few words."""
    return ", ".join([f"{standing.failed} failed", *facts(standing), *slowdown(standing)])


def facts(standing: Standing) -> list[str]:
    """Flight, rate, time left and dollars."""
    parts = [f"{standing.in_flight} in flight"]
    if standing.draining:
        again = "again" if standing.interrupted else "twice"
        return [*parts, money(standing), f"Ctrl-C {again} stops now"]
    if standing.left_s is not None:
        parts += [rate(standing), f"{timedelta(seconds=round(standing.left_s))} left"]
    return [*parts, money(standing)]


def rate(standing: Standing) -> str:
    """By the second, or by the minute where that is less than one."""
    per_s = standing.rate_per_s
    return f"{per_s:.1f}/s" if per_s >= 1 else f"{60 * per_s:.1f}/min"


def money(standing: Standing) -> str:
    """Dollars spent and projected."""
    spent = _dollars(standing.cost_micros)
    if standing.projected_micros is not None:
        spent += f" of about {_dollars(standing.projected_micros)}"
    return f"{spent} and {standing.cost_unknown} unknown" if standing.cost_unknown else spent


def _dollars(micros: int) -> str:
    """To the cent; a few pictures of a fraction of a cent are not $0.00."""
    return f"${to_usd(micros):,.2f}" if micros == 0 or micros >= WHOLE_CENTS_FROM_MICROS else f"${to_usd(micros):,.4f}"


def slowdown(standing: Standing) -> list[str]:
    """What the provider holds back, while it does."""
    parts = []
    if standing.slowed_to_per_min is not None:
        parts.append(f"slowed to {standing.slowed_to_per_min:,.0f}/min by the provider")
    if standing.pause_s >= 1:
        parts.append(f"asked to wait {standing.pause_s:.0f} s")
    return [", ".join(parts)] if parts else []
