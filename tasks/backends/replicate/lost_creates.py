"""Predictions whose create was not answered, looked for together: one sweep of the list serves all of them.

A sweep reads what was created since the oldest of them was sent. Sweeps are so far apart that their pages stay below a
share of what the account allows, so their cost does not grow with the number of lost creates.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from tasks.backends.base import find_sent, find_taken
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate.api import Page, ReplicateApi
from tasks.backends.replicate.list_reading import Reading, Seen, Wanted, Window, read_list, take_answer
from tasks.backends.replicate.lost_create import PAUSE_S, LostCreate, fail_all
from tasks.backends.replicate.options import REQUESTS_PER_MIN
from tasks.core.clock import Clock
from tasks.core.errors import Ambiguous, OutputGone
from tasks.core.retry import retry_look

NO_ANSWER = (httpx.HTTPStatusError, httpx.TransportError)
"""Errors of a page after which it is asked for again; one that cannot be read says that the list is not whole."""
SHARE = 0.1
"""Of the requests that the account allows, for sweeps."""
ASKED_PER_SWEEP = 20
"""Predictions without an input in the list that are asked for one by one."""
EASY_PAGES_PER_S = SHARE * REQUESTS_PER_MIN / 60
"""Pages that sweeps do with, also where the account may ask for more: most creates that were lost are found at once, and the
others are certain only after the patience."""
MOST_LATE = 0.25
"""Of the patience: by so much a look may come later than it is due, so that more lost creates share it."""


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
        self._lost: list[LostCreate] = []
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
        lost = LostCreate(
            wanted=wanted,
            window=window,
            known=known,
            patience_s=patience_s,
            begun_s=(begun_s := self._clock.monotonic_s()),
            next_look_s=begun_s,
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
            if not (asked := self._choose_due(begun_s)):
                self._next_sweep_s = begun_s + PAUSE_S  # one that is lost meanwhile is due at once
                continue
            try:
                await self._sweep(asked, begun_s)
                for lost in asked:
                    lost.plan_next_look(begun_s)
            except httpx.HTTPError as exc:
                # The list may be back soon: only those that have waited as long as it may take are given up.
                old = [lost for lost in asked if self._clock.monotonic_s() - lost.begun_s >= lost.patience_s]
                # One error for the whole sweep, but an exception of its own for each job.
                reason = f"the provider cannot be asked for it ({type(exc).__name__})"
                fail_all(old, lambda reason=reason: Ambiguous(reason, cost_micros=None))  # type: ignore[misc]
            except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
                fail_all(asked, lambda exc=exc: exc)  # type: ignore[misc]
            # The more pages a sweep took, the longer the pause: a large account must not be read without end.
            easy_s = min(self._pages / EASY_PAGES_PER_S, MOST_LATE * min(lost.patience_s for lost in asked))
            self._next_sweep_s = begun_s + max(PAUSE_S, self._pages / self._pages_per_s, easy_s)
            self._lost = [lost for lost in self._lost if not lost.found.done()]

    def _choose_due(self, now_s: float) -> list[LostCreate]:
        """Lost creates that are looked for now, with all others of their input: those share the predictions."""
        keys = {lost.wanted.key for lost in self._lost if lost.next_look_s <= now_s}
        return [lost for lost in self._lost if lost.wanted.key in keys]

    async def _sweep(self, asked: list[LostCreate], begun_s: float) -> None:
        groups: defaultdict[tuple[str, str], list[LostCreate]] = defaultdict(list)
        for lost in asked:
            groups[lost.wanted.key].append(lost)
        inputs = [group[0].wanted for group in groups.values()]
        # From the oldest on: what was sent later is in the same reading.
        since = min(lost.window.begin for lost in asked)
        reading = await read_list(self._api, inputs, since, self._ask)
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

    async def _ask(self, get: Callable[[], Awaitable[Page]]) -> Page:
        """Ask for one page, and again where that breaks: of a hundred pages one often does, and few readings would end."""

        async def get_in_turn() -> Page:
            await self._turn()
            return await get()

        page: Page = await retry_look(NO_ANSWER, self._clock.sleep)(get_in_turn)
        return page

    async def _turn(self) -> None:
        await self._limiter.acquire()
        self._pages += 1

    async def _settle(self, group: list[LostCreate], seen: Seen, begun_s: float, *, is_whole: bool) -> None:
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
            fail_all(set(waiting) - set(patient), lambda: Ambiguous(problem, cost_micros=None))
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
            doubt = lost.find_doubt(times, is_whole=is_whole)
            if doubt is None:
                lost.found.set_result(None)
            else:
                lost.note_doubt(doubt, begun_s)

    def _find_problem(self, waiting: list[LostCreate], free: list[dict[str, Any]]) -> str | None:
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


async def _learn_names(asked: Iterable[LostCreate], reading: Reading) -> None:
    """Names under which the list shows predictions that this batch's ledger has as the model's."""
    for lost in {id(lost.wanted.comparison): lost for lost in asked}.values():
        comparison = lost.wanted.comparison
        # A foreign name is ours if the ledger knows one of its ids: our model under the service's internal name.
        for name, ids in reading.others.items():
            if not comparison.is_known(name) and await find_sent(lost.known, ids):
                comparison.names.add(name)
