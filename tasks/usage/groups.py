"""Usage added up: the group, and the sums that make one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Self

from tasks.core.clock import to_instant
from tasks.usage.query import DATED_KEYS, format_date
from tasks.usage.rows import UsageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageGroup:
    """Rows of one key, added up."""

    key: tuple[str, ...]
    """The values that its rows share, in the order of `UsageQuery.by`; empty for the total of everything."""
    images: int
    failures: int = 0
    """Attempts that gave nothing and were billed, or may have been."""
    answers: int = 0
    """Calls of judges that were answered: neither images nor failures, and paid for."""
    cost_micros: int
    """Sum of the known costs, of failures too."""
    cost_unknown: int
    """Rows whose cost is not known."""
    latency_ms: float | None
    """Mean over the images whose latency is known."""

    @property
    def has_no_known_cost(self) -> bool:
        """True if the cost of every row is unknown: one known cost is already an amount."""
        return self.cost_unknown > 0 and self.cost_unknown == self.images + self.failures + self.answers


@dataclass(slots=True, kw_only=True)
class Sums:
    """The sums of one group; `+=` adds another part of it."""

    images: int = 0
    failures: int = 0
    answers: int = 0
    cost_micros: int = 0
    cost_unknown: int = 0
    latency_ms: float = 0
    timed: int = 0
    """Images whose latency is known."""

    def __iadd__(self, other: Sums) -> Self:
        """Add the other's sums to these."""
        self.images += other.images
        self.failures += other.failures
        self.answers += other.answers
        self.cost_micros += other.cost_micros
        self.cost_unknown += other.cost_unknown
        self.latency_ms += other.latency_ms
        self.timed += other.timed
        return self


async def add_up(rows: AsyncIterator[UsageRow], by: tuple[str, ...]) -> list[UsageGroup]:
    """Add rows up; memory grows with the groups, never with the rows."""
    # Groups, not rows: a year of usage is a million rows and a few dozen groups.
    sums: dict[tuple[str, ...], Sums] = {}
    async for row in rows:
        group = sums.setdefault(_build_key(row, by), Sums())
        group += _sum_row(row)
    return build_groups(sums.items())


def build_groups(sums: Iterable[tuple[tuple[str, ...], Sums]]) -> list[UsageGroup]:
    """The groups, the dearest first."""
    groups = (
        UsageGroup(
            key=key,
            images=total.images,
            failures=total.failures,
            answers=total.answers,
            cost_micros=total.cost_micros,
            cost_unknown=total.cost_unknown,
            latency_ms=total.latency_ms / total.timed if total.timed else None,
        )
        for key, total in sums
    )
    # The dearest first, since the question is usually where the money went.
    return sorted(groups, key=lambda group: (-group.cost_micros, -group.images, group.key))


def sum_groups(groups: Iterable[UsageGroup]) -> UsageGroup:
    """All groups in one; without a mean latency, which nobody needs over everything."""
    groups = list(groups)
    return UsageGroup(
        key=(),
        images=sum(group.images for group in groups),
        failures=sum(group.failures for group in groups),
        answers=sum(group.answers for group in groups),
        cost_micros=sum(group.cost_micros for group in groups),
        cost_unknown=sum(group.cost_unknown for group in groups),
        latency_ms=None,
    )


def _sum_row(row: UsageRow) -> Sums:
    # A failed attempt's latency is the time until it failed, which says nothing about images.
    is_timed = row.has_image and row.latency_ms is not None
    return Sums(
        images=int(row.has_image),
        failures=int(row.has_failed),
        answers=int(not row.has_image and not row.has_failed),
        cost_micros=row.cost_micros or 0,
        cost_unknown=int(row.cost_micros is None),
        latency_ms=(row.latency_ms or 0) if is_timed else 0,
        timed=int(is_timed),
    )


def _build_key(row: UsageRow, by: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        format_date(name, to_instant(row.created_at_us)) if name in DATED_KEYS else str(getattr(row, name))
        for name in by
    )
