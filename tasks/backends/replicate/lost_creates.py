"""Predictions whose create was not answered, looked for together: one sweep of the list serves all of them.

A sweep reads what was created since the oldest of them was sent. Sweeps are so far apart that their pages stay below a
share of what the account allows, so their cost does not grow with the number of lost creates.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tasks.backends.base import find_sent, find_taken
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate.api import ReplicateApi
from tasks.backends.replicate.likeness import Comparison, SentInput
from tasks.backends.replicate.list_reading import Reading, Seen, read_list
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous
from tasks.core.retry import retry_look

SHARE = 0.1
"""Of the requests that the account allows, for sweeps."""
PAUSE_S = 0.25  # seconds; a list takes a moment to show what was created
"""Between two sweeps at least."""


@dataclass(eq=False, slots=True)
class _Lost:
    """A create that was not answered."""

    sent: SentInput
    since: datetime
    known: Collection[str]
    begun_s: float
    """Monotonic instant from which the list is waited for."""
    found: asyncio.Future[dict[str, Any] | None]


class LostCreates:
    """Finds lost predictions of one backend; its loop runs while there are any."""

    def __init__(
        self,
        api: ReplicateApi,
        comparison: Comparison,
        *,
        limiter: RateLimiter,
        clock: Clock,
        patience_s: float,
        requests_per_min: float,
    ) -> None:
        """Look for nothing yet.

        Args:
            api: The service.
            comparison: How a listed prediction is told from others.
            limiter: Of the account's free requests.
            clock: Time.
            patience_s: How long a prediction may take to show up in the list.
            requests_per_min: Free requests that the account allows.
        """
        self._api = api
        self._comparison = comparison
        self._limiter = limiter
        self._clock = clock
        self._patience_s = patience_s
        # The rest of the account's allowance belongs to polls, which every image needs.
        self._pages_per_s = SHARE * requests_per_min / 60
        self._lost: list[_Lost] = []
        self._sending: Counter[str] = Counter()
        """Creates under way, by input: one of them may be the one that a sweep sees."""
        self._assigned: set[str] = set()
        self._next_sweep_s = 0.0
        self._pages = 0
        self._loop: asyncio.Task[None] | None = None

    @contextmanager
    def sending(self, sent: SentInput) -> Iterator[None]:
        """A create of this input is under way."""
        key = sent.key
        self._sending[key] += 1
        try:
            yield
        finally:
            self._sending[key] -= 1
            if not self._sending[key]:
                del self._sending[key]

    async def find(self, sent: SentInput, *, since: datetime, known: Collection[str]) -> dict[str, Any] | None:
        """The prediction of a create that was not answered; None when it is certain that there is none.

        Args:
            sent: What was sent.
            since: When, by the service's clock.
            known: Ids that belong to other attempts; see `tasks.backends.base.find_taken`.

        Raises:
            Ambiguous: It cannot be told.
            BatchStopped: The token is no longer accepted.
        """
        found: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        lost = _Lost(sent, since, known, self._clock.monotonic_s(), found)
        self._lost.append(lost)
        # The loop ends by itself when nothing is lost any more, so an idle batch asks nothing.
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._sweep_on())
        try:
            return await found
        finally:
            if lost in self._lost:
                self._lost.remove(lost)

    async def close(self) -> None:
        """Stop looking."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _sweep_on(self) -> None:
        while self._lost:
            await self._clock.sleep(max(0.0, self._next_sweep_s - self._clock.monotonic_s()))
            begun_s, self._pages = self._clock.monotonic_s(), 0
            asked = list(self._lost)
            try:
                await self._sweep(asked, begun_s)
            except httpx.HTTPError as exc:
                # One error for the whole sweep, but an exception of its own for each job.
                reason = f"the provider cannot be asked for it ({type(exc).__name__})"
                _fail(asked, lambda reason=reason: Ambiguous(reason, cost_micros=None))  # type: ignore[misc]
            except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
                _fail(asked, lambda exc=exc: exc)  # type: ignore[misc]
            # The more pages a sweep took, the longer the pause: a large account must not be read without end.
            self._next_sweep_s = begun_s + max(PAUSE_S, self._pages / self._pages_per_s)
            self._lost = [lost for lost in self._lost if not lost.found.done()]

    async def _sweep(self, asked: list[_Lost], begun_s: float) -> None:
        groups: defaultdict[str, list[_Lost]] = defaultdict(list)
        for lost in asked:
            groups[lost.sent.key].append(lost)
        read = retry_look(httpx.HTTPError, self._clock.sleep)
        inputs = {key: group[0].sent for key, group in groups.items()}
        # From the oldest on: what was sent later is in the same reading.
        since = min(lost.since for lost in asked)
        reading: Reading = await read(read_list, self._api, self._comparison, inputs, since, self._turn)
        # A foreign name is ours if the ledger knows one of its ids: our model under the service's internal name.
        for name, ids in reading.others.items():
            if await find_sent(asked[0].known, ids):
                self._comparison.names.add(name)
        for key, group in groups.items():
            await self._settle(group, reading.seen[key], begun_s, is_whole=reading.is_whole)

    async def _turn(self) -> None:
        await self._limiter.acquire()
        self._pages += 1

    async def _settle(self, group: list[_Lost], seen: Seen, begun_s: float, *, is_whole: bool) -> None:
        """Give the free predictions of one input to the lost creates of that input, one to one."""
        known = group[0].known
        taken = await find_taken(known, [*(answer["id"] for answer in seen.same), *seen.unsure])
        free = [answer for answer in seen.same if answer["id"] not in taken and answer["id"] not in self._assigned]
        # In the order of their creation and of their sends, so that the likeliest pairs meet; any pairing is right.
        free.sort(key=lambda answer: str(answer.get("created_at")))
        waiting = sorted((lost for lost in group if not lost.found.done()), key=lambda lost: lost.since)
        # Young ones may still appear in the list, so it is too early to say that they do not exist.
        patient = [lost for lost in waiting if begun_s - lost.begun_s < self._patience_s]
        if problem := self._find_problem(waiting, free):
            _fail(set(waiting) - set(patient), lambda: Ambiguous(problem, cost_micros=None))
            return
        for lost, answer in zip(waiting, free, strict=False):
            # Before the next await: another sweep, or the next job, must not be given the same prediction.
            self._assigned.add(answer["id"])
            lost.found.set_result(answer)
        rest = [lost for lost in waiting[len(free) :] if lost not in patient]
        if not is_whole:
            _fail(rest, lambda: Ambiguous("the provider's list cannot be read to its end", cost_micros=None))
        # A prediction of that time whose input cannot be read may be the one: then nobody can say that there is none.
        if any(prediction_id not in taken for prediction_id in seen.unsure):
            reason = "a prediction of that time cannot be told from this one"
            _fail(rest, lambda: Ambiguous(reason, cost_micros=None))
        for lost in rest:
            if not lost.found.done():
                lost.found.set_result(None)

    def _find_problem(self, waiting: list[_Lost], free: list[dict[str, Any]]) -> str | None:
        """Why free predictions cannot be given to the creates that wait."""
        if not free or not waiting:
            return None
        # Uploads differ in their addresses only, and the list does not tell which file is behind one.
        if len({lost.sent.files for lost in waiting}) > 1:
            return "other images went into a prediction that looks the same"
        owners = len(waiting) + self._sending[waiting[0].sent.key]
        # Where every batch of the account is known, one that nobody has is as good as ours: its input is the same.
        # More free predictions than creates of ours: one of them is somebody else's, and its image may be another.
        if len(free) > owners and not getattr(waiting[0].known, "is_complete", False):
            return f"{len(free)} predictions have this input"
        return None


def _fail(lost: Iterable[_Lost], build: Callable[[], Exception]) -> None:
    """An error of its own for each: the engine writes into it what the attempt cost."""
    for item in lost:
        if not item.found.done():
            item.found.set_exception(build())
