"""The account's list of batches, searched for jobs whose create was not answered."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import httpx

from tasks.backends.client.batches.service import BatchService, may_be_since
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous
from tasks.core.retry import retry_look

Answer = TypeVar("Answer")
Batch = dict[str, Any]
ReadNames = Callable[[Batch], Awaitable[frozenset[str]]]
LIST = "the list"
"""Stands among the ids of batches for the list itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at the list of batches."""

    begun_s: float
    """Monotonic instant: who asked later has to look again."""
    since: datetime
    batches: list[Batch]


@dataclass(frozen=True, slots=True)
class _Failure:
    """A question that was given up."""

    begun_s: float
    error: httpx.HTTPError


class BatchList:
    """Looks at an account's list together for all jobs that ask, whatever their instances; usable inside one event loop."""

    def __init__(self, api: BatchService, *, clock: Clock) -> None:
        """Look at nothing yet."""
        self._api = api
        self._clock = clock
        self._names: dict[str, frozenset[str]] = {}
        """Names of a batch's lines, by its id; they never change."""
        self._last: _Look | None = None
        self._failures: dict[str, _Failure] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def find_named(self, stems: tuple[str, ...], since: datetime, read_names: ReadNames) -> list[str]:
        """Ids of predictions whose name in a batch begins with one of the stems.

        Args:
            stems: Beginnings of names.
            since: When the batch was made, at the earliest.
            read_names: Gives the names of a batch's lines.

        Raises:
            Ambiguous: The provider cannot be asked.
            BatchStopped: The key is no longer accepted.
        """
        found = []
        try:
            for batch in await self._list(since):
                names = await self._ask_once(batch["id"], partial(self._read, batch, read_names))
                found += [f"{batch['id']}/{name}" for name in names if name.startswith(stems)]
        except httpx.HTTPError as exc:
            reason = f"the provider cannot be asked for its batches ({type(exc).__name__})"
            raise Ambiguous(reason, cost_micros=None) from exc
        return found

    async def _list(self, since: datetime) -> Sequence[Batch]:
        """The batches since then; jobs that look at the same time share one look."""
        asked_at_s = self._clock.monotonic_s()
        look = await self._ask_once(LIST, partial(self._look, since, asked_at_s))
        return [batch for batch in look.batches if may_be_since(batch, since)]

    async def _ask_once(self, key: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask one at a time; a failure is that of all who waited for it, or each of them would try as long again."""
        asked_at_s = self._clock.monotonic_s()
        async with self._asking[key]:
            failure = self._failures.get(key)
            if failure is not None and failure.begun_s >= asked_at_s:
                raise failure.error
            begun_s = self._clock.monotonic_s()
            try:
                return await ask()
            except httpx.HTTPError as exc:
                self._failures[key] = _Failure(begun_s, exc)
                raise

    async def _look(self, since: datetime, asked_at_s: float) -> _Look:
        last = self._last
        # A look that had begun before this job asked may have passed the place where its batch now stands.
        if last is not None and last.begun_s >= asked_at_s and last.since <= since:
            return last
        begun_s = self._clock.monotonic_s()
        earliest = since if last is None else min(since, last.since)
        # A page that breaks is asked for again by itself: of a hundred pages one often does, and few readings would end.
        ask = retry_look(httpx.HTTPError, self._clock.sleep)
        batches = await self._api.created_since(earliest, ask)
        self._last = _Look(begun_s=begun_s, since=earliest, batches=batches)
        return self._last

    async def _read(self, batch: Batch, read_names: ReadNames) -> frozenset[str]:
        if batch["id"] not in self._names:
            ask = retry_look(httpx.HTTPError, self._clock.sleep)
            names: frozenset[str] = await ask(read_names, batch)
            self._names[batch["id"]] = names
        return self._names[batch["id"]]
