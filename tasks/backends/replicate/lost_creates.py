"""Predictions whose create was not answered, looked for together: one sweep of the list serves all of them.

A sweep reads what was created since the oldest of them was sent. Sweeps are so far apart that their pages stay below a
share of what the account allows, so their cost does not grow with the number of lost creates.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tasks.backends.base import find_sent, find_taken
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate.api import ReplicateApi
from tasks.backends.replicate.list_reading import Reading, Seen, Wanted, Window, read_list, take_answer
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous, OutputGone
from tasks.core.retry import retry_look

SHARE = 0.1
"""Of the requests that the account allows, for sweeps."""
ASKED_PER_SWEEP = 20
"""Predictions without an input in the list that are asked for one by one."""
DOUBT_PATIENCE = 3
"""A create that the list says nothing certain about is given up after the usual patience times this."""
FEWEST_DOUBTS = 3
"""And after so many readings: on a busy machine the first one may come later than that, and one may be odd."""
PAUSE_S = 0.25
"""Between two sweeps at least."""


@dataclass(eq=False, slots=True, kw_only=True)
class _Lost:
    """A create that was not answered."""

    wanted: Wanted
    window: Window
    known: Collection[str]
    patience_s: float
    begun_s: float
    """Monotonic instant from which the list is waited for."""
    found: asyncio.Future[dict[str, Any] | None]
    doubts: int = 0
    """Readings that said nothing certain after the patience."""


class LostCreates:
    """Finds lost predictions of one account, whatever its models; its loop runs while there are any."""

    def __init__(self, api: ReplicateApi, *, limiter: RateLimiter, clock: Clock, requests_per_min: float) -> None:
        """Look for nothing yet.

        Args:
            api: The service, for the account.
            limiter: Of the account's free requests.
            clock: Time.
            requests_per_min: Free requests that the account allows.
        """
        self._api = api
        self._limiter = limiter
        self._clock = clock
        # The rest of the account's allowance belongs to polls, which every image needs.
        self._pages_per_s = SHARE * requests_per_min / 60
        self._lost: list[_Lost] = []
        self._sending: Counter[tuple[str, str]] = Counter()
        """Creates under way, by input: one of them may be the one that a sweep sees."""
        self._assigned: set[str] = set()
        self._answers: dict[str, dict[str, Any]] = {}
        """Of predictions that the list shows without their input, by id."""
        self._next_sweep_s = 0.0
        self._pages = 0
        self._loop: asyncio.Task[None] | None = None

    @contextmanager
    def sending(self, wanted: Wanted) -> Iterator[None]:
        """A create of this input is under way."""
        key = wanted.key
        self._sending[key] += 1
        try:
            yield
        finally:
            self._sending[key] -= 1
            if not self._sending[key]:
                del self._sending[key]

    async def find(
        self, wanted: Wanted, *, window: Window, known: Collection[str], patience_s: float
    ) -> dict[str, Any] | None:
        """The prediction of a create that was not answered; None when it is certain that there is none.

        Args:
            wanted: What was sent.
            window: When it can have been made; from its begin on the list is read.
            known: Ids that belong to other attempts; see `tasks.backends.base.find_taken`.
            patience_s: How long a prediction may take to show up in the list.

        Raises:
            Ambiguous: It cannot be told.
            BatchStopped: The token is no longer accepted.
        """
        lost = _Lost(
            wanted=wanted,
            window=window,
            known=known,
            patience_s=patience_s,
            begun_s=self._clock.monotonic_s(),
            found=asyncio.get_running_loop().create_future(),
        )
        self._lost.append(lost)
        # The loop ends by itself when nothing is lost any more, so an idle batch asks nothing.
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._sweep_on())
        try:
            return await lost.found
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
                # The list may be back soon: only those that have waited as long as it may take are given up.
                old = [lost for lost in asked if self._clock.monotonic_s() - lost.begun_s >= lost.patience_s]
                # One error for the whole sweep, but an exception of its own for each job.
                reason = f"the provider cannot be asked for it ({type(exc).__name__})"
                _fail(old, lambda reason=reason: Ambiguous(reason, cost_micros=None))  # type: ignore[misc]
            except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
                _fail(asked, lambda exc=exc: exc)  # type: ignore[misc]
            # The more pages a sweep took, the longer the pause: a large account must not be read without end.
            self._next_sweep_s = begun_s + max(PAUSE_S, self._pages / self._pages_per_s)
            self._lost = [lost for lost in self._lost if not lost.found.done()]

    async def _sweep(self, asked: list[_Lost], begun_s: float) -> None:
        groups: defaultdict[tuple[str, str], list[_Lost]] = defaultdict(list)
        for lost in asked:
            groups[lost.wanted.key].append(lost)
        read = retry_look(httpx.HTTPError, self._clock.sleep)
        inputs = [group[0].wanted for group in groups.values()]
        # From the oldest on: what was sent later is in the same reading.
        since = min(lost.window.begin for lost in asked)
        reading: Reading = await read(read_list, self._api, inputs, since, self._turn)
        await _learn_names(asked, reading)
        for answer in await self._ask_bare(reading, asked[0].known):
            take_answer(reading, answer, inputs)
        for key, group in groups.items():
            await self._settle(group, reading.seen[key], begun_s, is_whole=reading.is_whole)

    async def _ask_bare(self, reading: Reading, known: Collection[str]) -> list[dict[str, Any]]:
        """Answers of predictions that nobody has and that the list shows without their input: their own may have it."""
        free = set(reading.bare) - await find_taken(known, reading.bare) if reading.bare else set()
        for prediction_id in sorted(free - self._answers.keys())[:ASKED_PER_SWEEP]:
            await self._turn()
            # What cannot be asked now is asked in the next sweep; until then it stays in doubt.
            with suppress(httpx.HTTPError, OutputGone):
                # Whatever id the answer gives itself, it is about the one that was asked for.
                self._answers[prediction_id] = await self._api.get(prediction_id) | {"id": prediction_id}
        # Only what the list still shows is kept, so that this does not grow.
        self._answers = {name: self._answers[name] for name in free & self._answers.keys()}
        return list(self._answers.values())

    async def _turn(self) -> None:
        await self._limiter.acquire()
        self._pages += 1

    async def _settle(self, group: list[_Lost], seen: Seen, begun_s: float, *, is_whole: bool) -> None:
        """Give the free predictions of one input to the lost creates of that input, one to one."""
        known = group[0].known
        taken = await find_taken(known, [*seen.same, *seen.unsure])
        free = [answer for name, answer in seen.same.items() if name not in taken | self._assigned]
        # In the order of their creation and of their sends, so that the likeliest pairs meet; any pairing is right.
        free.sort(key=lambda answer: str(answer.get("created_at")))
        waiting = sorted((lost for lost in group if not lost.found.done()), key=lambda lost: lost.window.begin)
        # Young ones may still appear in the list, so it is too early to say that they do not exist.
        patient = [lost for lost in waiting if begun_s - lost.begun_s < lost.patience_s]
        if problem := self._find_problem(waiting, free):
            _fail(set(waiting) - set(patient), lambda: Ambiguous(problem, cost_micros=None))
            return
        for lost, answer in zip(waiting, free, strict=False):
            # Before the next await: another sweep, or the next job, must not be given the same prediction.
            self._assigned.add(answer["id"])
            lost.found.set_result(answer)
        # It can be ours only where nobody has it and our create can have arrived at its time.
        times = [created_at for prediction_id, created_at in seen.unsure.items() if prediction_id not in taken]
        for lost in waiting[len(free) :]:
            if lost in patient:
                continue
            doubt = _find_doubt(lost, times, is_whole=is_whole)
            if doubt is None:
                lost.found.set_result(None)
                continue
            lost.doubts += 1
            # The list may be whole next time, and the answer to whose prediction it is may be on its way.
            if lost.doubts >= FEWEST_DOUBTS and begun_s - lost.begun_s >= DOUBT_PATIENCE * lost.patience_s:
                lost.found.set_exception(Ambiguous(doubt, cost_micros=None))

    def _find_problem(self, waiting: list[_Lost], free: list[dict[str, Any]]) -> str | None:
        """Why free predictions cannot be given to the creates that wait."""
        if not free or not waiting:
            return None
        # Uploads differ in their addresses only, and the list does not tell which file is behind one.
        if len({lost.wanted.sent.files for lost in waiting}) > 1:
            return "other images went into a prediction that looks the same"
        owners = len(waiting) + self._sending[waiting[0].wanted.key]
        # Where every batch of the account is known, one that nobody has is as good as ours: its input is the same.
        # More free predictions than creates of ours: one of them is somebody else's, and its image may be another.
        if len(free) > owners and not getattr(waiting[0].known, "is_complete", False):
            return f"{len(free)} predictions have this input"
        return None


def _find_doubt(lost: _Lost, times: Iterable[datetime | None], *, is_whole: bool) -> str | None:
    """Why it is not certain that a create which is not in the list made nothing; None where it is."""
    if not is_whole:
        return "the provider's list cannot be read to its end"
    return "a prediction of that time cannot be told from this one" if any(map(lost.window.has, times)) else None


async def _learn_names(asked: Iterable[_Lost], reading: Reading) -> None:
    """Names under which the list shows predictions that this batch's ledger has as the model's."""
    for lost in {id(lost.wanted.comparison): lost for lost in asked}.values():
        comparison = lost.wanted.comparison
        # A foreign name is ours if the ledger knows one of its ids: our model under the service's internal name.
        for name, ids in reading.others.items():
            if not comparison.is_known(name) and await find_sent(lost.known, ids):
                comparison.names.add(name)


def _fail(lost: Iterable[_Lost], build: Callable[[], Exception]) -> None:
    """An error of its own for each: the engine writes into it what the attempt cost."""
    for item in lost:
        if not item.found.done():
            item.found.set_exception(build())
