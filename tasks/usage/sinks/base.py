"""The protocol of a usage sink."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from tasks.usage.groups import UsageGroup
from tasks.usage.query import UsageQuery
from tasks.usage.rows import UsageRow


class UsageSink(Protocol):
    """Something that keeps usage rows; each of its methods raises `UsageError` where it cannot be used."""

    async def push(self, rows: Sequence[UsageRow]) -> None:
        """Keep these rows; one whose id is known replaces that row.

        Raises:
            UsageAway, UsageRefused: Nothing or something was kept, and pushing again is safe.
        """

    async def groups(self, query: UsageQuery) -> list[UsageGroup]:
        """Usage added up; the dearest first. Memory does not grow with the rows."""

    def rows(self, query: UsageQuery) -> AsyncIterator[UsageRow]:
        """Usage row by row, the newest first."""
