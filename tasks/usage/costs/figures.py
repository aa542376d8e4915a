"""Sums over the usage table for two months, from one query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tasks.core.configuration.sections import UsageSettings
from tasks.usage.costs.months import Months
from tasks.usage.groups import UsageGroup, sum_groups
from tasks.usage.query import UsageQuery
from tasks.usage.report import read_groups

BY = ("day", "model", "caller", "deployment", "batch", "status")
"""Keys of the query; everything else is added up from its groups."""
SHOWN_BY = ("batch", "deployment", "model", "caller", "day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Images and money of some rows."""

    images: int = 0
    failures: int = 0
    cost_micros: int = 0
    failed_micros: int = 0
    """The part of it that bought no image."""
    cost_unknown: int = 0
    has_no_known_cost: bool = False
    """True if there are rows and the cost of each is unknown."""

    @property
    def micros_per_image(self) -> float | None:
        """Mean cost of an image, failed attempts included; None where a part is unknown, or there is no image."""
        return None if self.cost_unknown or not self.images else self.cost_micros / self.images


@dataclass(frozen=True, slots=True)
class Figures:
    """The groups of both months; amounts are added up from them."""

    months: Months
    groups: Sequence[UsageGroup] = field(default_factory=tuple)

    def sum_this_month(self) -> Amount:
        """This month so far."""
        return _sum(group for group in self.groups if self._is_present(group))

    def sum_month_before(self) -> Amount:
        """The whole month before."""
        return _sum(group for group in self.groups if not self._is_present(group))

    def sum_same_days(self) -> Amount:
        """The month before up to the same day of the month."""
        return _sum(group for group in self.groups if self.months.is_same_days(get(group, "day")))

    def compare_by(self, key: str) -> list[tuple[str, Amount, Amount]]:
        """For each value of a key this month and the month before, the dearest of this month first; days in order."""
        present: defaultdict[str, list[UsageGroup]] = defaultdict(list)
        before: defaultdict[str, list[UsageGroup]] = defaultdict(list)
        for group in self.groups:
            (present if self._is_present(group) else before)[get(group, key)].append(group)
        found = [(name, _sum(present[name]), _sum(before[name])) for name in present.keys() | before.keys()]
        if key == "day":
            return sorted(found)
        return sorted(found, key=lambda it: (-it[1].cost_micros, -it[2].cost_micros, -it[1].images, it[0]))

    def sum_days(self, days: Iterable[str], *, deployments: Iterable[str] | None = None, other: bool = False) -> Amount:
        """Some days; with `deployments` only those of them, or with `other` all but those."""
        wanted, named = set(days), None if deployments is None else set(deployments)
        return _sum(
            group
            for group in self.groups
            if get(group, "day") in wanted and (named is None or (get(group, "deployment") in named) is not other)
        )

    def count_days(self, deployment: str, days: Iterable[str]) -> int:
        """Number of these days on which the deployment cost or made something."""
        wanted = set(days)
        mine = (group for group in self.groups if get(group, "deployment") == deployment)
        return len({get(group, "day") for group in mine} & wanted)

    def _is_present(self, group: UsageGroup) -> bool:
        return self.months.is_this_month(get(group, "day"))


async def read_figures(settings: UsageSettings, months: Months) -> Figures:
    """Read both months; memory grows with days and batches, not with rows.

    Raises:
        UsageError: The sink cannot be read.
    """
    return Figures(months, tuple(await read_groups(settings, UsageQuery(since=months.since, by=BY))))


def get(group: UsageGroup, key: str) -> str:
    """The group's value of a key of `BY`."""
    return group.key[BY.index(key)]


def _sum(groups: Iterable[UsageGroup]) -> Amount:
    found = list(groups)
    total = sum_groups(found)
    return Amount(
        images=total.images,
        failures=total.failures,
        cost_micros=total.cost_micros,
        # A judge's answer is no image, and was not paid for in vain.
        failed_micros=sum(it.cost_micros for it in found if it.failures),
        cost_unknown=total.cost_unknown,
        has_no_known_cost=total.has_no_known_cost,
    )
