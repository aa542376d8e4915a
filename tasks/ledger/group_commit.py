"""Group commit: items that arrive within a few milliseconds are written together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

GROUPING_S = 0.002
"""Seconds an item waits for others: short beside a provider's latency, long beside a commit."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class GroupCommit(Generic[Item, Outcome]):
    """Hands items to `write` in groups, one group at a time and in the order of arrival."""

    def __init__(
        self, write: Callable[[Sequence[Item]], Awaitable[Outcome]], *, grouping_s: float = GROUPING_S
    ) -> None:
        """Write nothing yet; `write` gets a whole group, and everybody who waits for it gets its outcome.

        An item waits `grouping_s` seconds for others.
        """
        self._write = write
        self._grouping_s = grouping_s
        self._collecting: list[Item] = []
        self._collected: asyncio.Future[Outcome] | None = None
        """Outcome of the group that collects items now."""
        self._writing: asyncio.Future[Outcome] | None = None
        """Outcome of the group that is being written now."""
        self._flushers: set[asyncio.Task[None]] = set()
        self._one_group = asyncio.Lock()

    def add(self, *items: Item) -> asyncio.Future[Outcome]:
        """Add items to the group that collects now; await a shield of the future where the outcome matters."""
        self._collecting.extend(items)
        if self._collected is None:
            self._collected = asyncio.get_running_loop().create_future()
            flusher = asyncio.create_task(self._flush(self._collected))  # asyncio keeps no strong reference
            self._flushers.add(flusher)
            flusher.add_done_callback(self._flushers.discard)
        return self._collected

    async def drain(self) -> None:
        """Wait until everything added so far is written.

        Raises:
            Exception: As `write` raised it for the last group.
        """
        # Groups are written one after the other, so the later one is on disk after the earlier one.
        if (last := self._collected or self._writing) is not None:
            await asyncio.shield(last)

    async def _flush(self, outcome: asyncio.Future[Outcome]) -> None:
        await asyncio.sleep(self._grouping_s)
        async with self._one_group:
            # Items that came while the last group was written join this one; those that come now start the next.
            group, self._collecting, self._collected = self._collecting, [], None
            self._writing = outcome
            try:
                outcome.set_result(await self._write(group))
            except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
                outcome.set_exception(exc)
                outcome.exception()  # marks it as seen: a group that nobody awaits must not warn at exit
            finally:
                self._writing = None
