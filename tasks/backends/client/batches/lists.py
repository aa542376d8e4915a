"""The account's list of batches, searched for jobs whose create was not answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tasks.backends.client.batches.service import BatchService, may_be_since
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous
from tasks.core.retry import retry_look


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at the list of batches."""

    begun_s: float
    """Monotonic instant: who asked later has to look again."""
    since: datetime
    batches: list[dict[str, Any]]


class BatchList:
    """Looks at the list together for all jobs that ask; usable inside one event loop."""

    def __init__(
        self, api: BatchService, *, clock: Clock, read_names: Callable[[dict[str, Any]], Awaitable[frozenset[str]]]
    ) -> None:
        """Look at nothing yet; `read_names` gives the names of a batch's lines."""
        self._api = api
        self._read_names = read_names
        self._clock = clock
        self._names: dict[str, frozenset[str]] = {}
        """Names of a batch's lines, by its id; they never change."""
        self._last: _Look | None = None
        self._one_look = asyncio.Lock()

    async def find_named(self, stems: tuple[str, ...], since: datetime) -> list[str]:
        """Ids of predictions whose name in a batch begins with one of the stems.

        Raises:
            Ambiguous: The provider cannot be asked.
            BatchStopped: The key is no longer accepted.
        """
        try:
            listed = await self._list(since)
        except httpx.HTTPError as exc:
            reason = f"the provider cannot be asked for its batches ({type(exc).__name__})"
            raise Ambiguous(reason, cost_micros=None) from exc
        return [
            f"{batch['id']}/{name}" for batch in listed for name in self._names[batch["id"]] if name.startswith(stems)
        ]

    async def _list(self, since: datetime) -> Sequence[dict[str, Any]]:
        """The batches since then; jobs that look at the same time share one look."""
        asked_at_s = self._clock.monotonic_s()
        async with self._one_look:
            last = self._last
            # A look that had begun before this job asked may have passed the place where its batch now stands.
            if last is None or last.begun_s < asked_at_s or last.since > since:
                earliest = since if last is None else min(since, last.since)
                last = self._last = await self._look(earliest)
            return [batch for batch in last.batches if may_be_since(batch, since)]

    async def _look(self, since: datetime) -> _Look:
        begun_s, ask = self._clock.monotonic_s(), retry_look(httpx.HTTPError, self._clock.sleep)
        listed: list[dict[str, Any]] = await ask(self._api.created_since, since)
        for batch in listed:
            if batch["id"] not in self._names:
                names: frozenset[str] = await ask(self._read_names, batch)
                self._names[batch["id"]] = names
        return _Look(begun_s=begun_s, since=since, batches=listed)
