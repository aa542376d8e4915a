"""Usage added up: the group, and the sums that make one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from tasks.core.clock import to_instant
from tasks.usage.rows import UsageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageGroup:
    """Rows of one key, added up."""

    key: tuple[str, ...]
    """The values that its rows share, in the order of `UsageQuery.by`; empty for the total of everything."""
    images: int
    cost_micros: int
    """Sum of the known costs."""
    cost_unknown: int
    """Images whose cost is not known."""
    latency_ms: float | None
    """Mean over the images whose latency is known."""


@dataclass(slots=True)
class _Sums:
    images: int = 0
    cost_micros: int = 0
    cost_unknown: int = 0
    latency_ms: int = 0
    timed: int = 0

    def add(self, row: UsageRow) -> None:
        self.images += 1
        self.cost_micros += row.cost_micros or 0
        self.cost_unknown += row.cost_micros is None
        self.latency_ms += row.latency_ms or 0
        self.timed += row.latency_ms is not None


async def add_up(rows: AsyncIterator[UsageRow], by: tuple[str, ...]) -> list[UsageGroup]:
    """Add rows up; memory grows with the groups, never with the rows."""
    sums: dict[tuple[str, ...], _Sums] = {}
    async for row in rows:
        sums.setdefault(_build_key(row, by), _Sums()).add(row)
    return sort_groups(
        UsageGroup(
            key=key,
            images=total.images,
            cost_micros=total.cost_micros,
            cost_unknown=total.cost_unknown,
            latency_ms=total.latency_ms / total.timed if total.timed else None,
        )
        for key, total in sums.items()
    )


def sort_groups(groups: Iterable[UsageGroup]) -> list[UsageGroup]:
    """The dearest first."""
    return sorted(groups, key=lambda group: (-group.cost_micros, -group.images, group.key))


def sum_groups(groups: Iterable[UsageGroup]) -> UsageGroup:
    """All groups in one; without a mean latency, which nobody needs over everything."""
    groups = list(groups)
    return UsageGroup(
        key=(),
        images=sum(group.images for group in groups),
        cost_micros=sum(group.cost_micros for group in groups),
        cost_unknown=sum(group.cost_unknown for group in groups),
        latency_ms=None,
    )


def _build_key(row: UsageRow, by: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        f"{to_instant(row.created_at_us):%Y-%m-%d}" if name == "day" else str(getattr(row, name)) for name in by
    )
