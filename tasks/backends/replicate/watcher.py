"""Waiting for many predictions at little cost.

One loop watches everything in flight. Its first look at a prediction comes when it may have ended, and looks stay below
about one per image. Few predictions are asked for by their ids; of many, one list call shows those that may have ended,
outputs included. Looks that many images shared are saved up for when fewer are in flight, so the last ones of a batch
are not waited for long. A look that breaks, or whose answer is slow, harms only the predictions that it was about.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from typing import Any

import httpx

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate.api import ReplicateApi
from tasks.backends.replicate.looks import Looks, fail
from tasks.backends.replicate.prediction_times import PredictionTimes
from tasks.backends.replicate.predictions import has_ended, is_readable, measure_seconds
from tasks.backends.replicate.watched import Watched
from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped, JobError, StatusUnreadable

FEWEST_FOR_A_LIST = 8
"""From so many predictions in flight on, lists are cheaper than a look at each."""
PAGE = 100
LISTS_LAG_S = 2.0
"""A prediction that lists have not shown for so long is asked for by its id from then on."""
LIST_PAUSE_S = 0.012
"""Between two lists at least. With 128 in flight at 0.5 s an image that is ready then waits 10 ms on average, for 0.3 looks
an image (tests/tasks/backends/replicate/test_watcher_schedule.py); half the pause saves 4 ms and costs half as many lists again."""
ALONE_PAUSE_S = 0.25
"""Between two looks at single predictions at most."""
INSTANT = timedelta(milliseconds=1)
"""Added to the end of a list's window, which does not count itself: instants of the API have up to nine digits."""
MOST_SAVED = 40
"""Looks that are saved up, or owed, at most."""
FEWEST_SAVED_FOR_A_LIST = 5
SLOW_S = 1.0
"""Looks whose answers take longer are left to come, and the other predictions are looked at meanwhile."""
MOST_SINGLE = 8
"""Looks at single predictions at a time: the connections belong to creates too."""
MOST_BROKEN = 5
"""Answers in a row about one prediction that cannot be understood."""


@dataclass(slots=True)
class Watcher:
    """Watches the predictions of one backend; its loop runs while there are any."""

    api: ReplicateApi
    limiter: RateLimiter
    clock: Clock
    times: PredictionTimes
    _saved: int = 0
    """Images that have ended less the looks that it took."""
    _looks: Looks = field(init=False)
    _watched: dict[str, Watched] = field(default_factory=dict)
    _single: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_SINGLE))
    _loop: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        """Begin no look yet."""
        self._looks = Looks(self.clock)

    async def ended(self, prediction_id: str, *, created_at: datetime | None, timeout_s: float) -> dict[str, Any]:
        """The prediction's answer in a terminal state.

        Args:
            prediction_id: Id of the prediction.
            created_at: Its creation by the provider's clock; None: unknown, so it is asked for by its id.
            timeout_s: Seconds to wait.

        Raises:
            TimeoutError: It has not ended after so many seconds.
            OutputGone: There is no such prediction any more.
            StatusUnreadable: Answers about it cannot be understood.
            BatchStopped: The token is no longer accepted.
        """
        now_s = self.clock.monotonic_s()
        is_late = created_at is not None and self.times.is_late(created_at)
        first_look_s = now_s + self.times.first_look_s if created_at and not is_late else now_s
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        # A new id replaces nothing: each prediction is waited for once.
        self._watched[prediction_id] = Watched(prediction_id, created_at, now_s, first_look_s, answer, is_late=is_late)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._watch())
        try:
            # Outside the loop's own time: a clock that is injected for tests drives the looks, this bound is the
            # caller's.
            return await asyncio.wait_for(answer, timeout_s)
        finally:
            self._watched.pop(prediction_id, None)

    async def close(self) -> None:
        """Stop watching."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            await self._looks.close()

    async def _watch(self) -> None:
        try:
            while self._watched:
                await self.clock.sleep(max(self._pause_s(), self._looks.rest_s))
                listed, single = self._due()
                looks = [self._looks.begin([item], partial(self._look_at, item)) for item in single]
                looks += [self._looks.begin(listed, partial(self._look_at_list, listed))] if listed else []
                if looks:
                    # By the loop's own time, as `ended` bounds its wait.
                    await asyncio.wait(looks, timeout=SLOW_S)
        finally:
            self._looks.cancel()

    def _pause_s(self) -> float:
        """Seconds until the next look: about one list per image on average, and never before one is due."""
        if self._many:
            # One look an image on average, and each page is one; those saved up are spread over an image's time.
            looks, pages = len(self._watched) + max(0, self._saved), ceil(len(self._watched) / PAGE)
            return max(LIST_PAUSE_S, self.times.usual_s * pages / looks)
        now_s = self.clock.monotonic_s()
        first_due_s = min((item.next_look_s - now_s for item in self._waiting()), default=ALONE_PAUSE_S)
        # Not less than a fortieth of a second, so that a late clock does not make it spin.
        return max(ALONE_PAUSE_S / 10, min(first_due_s, ALONE_PAUSE_S))

    def _due(self) -> tuple[list[Watched], list[Watched]]:
        """Predictions to look at now: in a list, and each by its id."""
        now_s, many = self.clock.monotonic_s(), self._many
        listed, single = [], []
        for item in self._waiting():
            # Lists pay off for many only; below that a look at each is cheaper and sooner.
            if many and item.is_listable:
                if item.since_s + self.times.youngest_s <= now_s:
                    listed.append(item)
            elif item.next_look_s <= now_s:
                single.append(item)
        return listed, single

    def _waiting(self) -> list[Watched]:
        return [item for item in self._watched.values() if not item.answer.done() and not item.is_asked]

    @property
    def _many(self) -> bool:
        # Near the end of a batch few are left, and the looks that were saved pay for lists of them.
        fewest = 1 if self._saved >= FEWEST_SAVED_FOR_A_LIST else FEWEST_FOR_A_LIST
        return sum(item.is_listable for item in self._watched.values()) >= fewest

    async def _turn(self) -> None:
        await self.limiter.acquire()
        # Bounded below, so that a long wait of one prediction is no debt that all later ones pay.
        self._saved = max(-MOST_SAVED, self._saved - 1)

    async def _look_at(self, item: Watched) -> None:
        async with self._single:
            # Given up while others had their turns: nobody waits for it any more.
            if not item.answer.done():
                await self._turn()
                await self._ask_for(item)

    async def _ask_for(self, item: Watched) -> None:
        now_s = self.clock.monotonic_s()
        item.next_look_s = now_s + self.times.choose_pause_s(now_s - item.since_s)
        try:
            self._see(item, await self.api.get(item.prediction_id))
            item.broken = 0
        except (JobError, BatchStopped) as exc:
            fail([item], exc)
        except (httpx.HTTPStatusError, httpx.TransportError):
            raise  # the service is in trouble, which says nothing about this prediction
        except Exception as exc:  # noqa: BLE001  an answer about this one breaks, whatever it is, and no other's
            item.broken += 1
            # Several in a row: one page from a proxy says nothing about the prediction.
            if item.broken >= MOST_BROKEN:
                reason = f"answers about the prediction cannot be read ({type(exc).__name__})"
                fail([item], StatusUnreadable(reason, cost_micros=None))

    async def _look_at_list(self, due: list[Watched]) -> None:
        """Read what was created between the oldest and the newest that is due, a page more than they fill.

        Those that lists have not shown for some time, or not readably, are asked for by their ids from then on.
        """
        missing = {item.prediction_id: item for item in due}
        created = [item.created_at for item in due if item.created_at]
        # A page more than they fill: other predictions of the account stand between ours.
        pages_left = ceil(len(due) / PAGE) + 1
        await self._turn()
        try:
            # From the oldest to the newest that is due: a window that is as narrow as it can be has the fewest pages.
            async for page in self.api.list_created(min(created), before=max(created) + INSTANT):
                for answer in page:
                    # Each is popped, so that an entry that is listed twice is seen once.
                    if item := missing.pop(str(answer.get("id")), None):
                        item.missed_since_s = None
                        # A list may have lost an output that was paid for and that the prediction itself still has.
                        item.is_alone = not is_readable(answer) or bool(answer.get("data_removed"))
                        if not item.is_alone:
                            self._see(item, answer)
                pages_left -= 1
                if not missing or not pages_left:
                    break
                await self._turn()
        except httpx.DecodingError:  # this list has no end, or is no list
            for item in missing.values():
                item.is_alone = True
            return
        now_s = self.clock.monotonic_s()
        for item in missing.values():
            item.missed_since_s = now_s if item.missed_since_s is None else item.missed_since_s
            # Lists lag behind by a second or two; only one that stays away longer is asked for by itself.
            item.is_alone = now_s - item.missed_since_s >= LISTS_LAG_S

    def _see(self, item: Watched, answer: dict[str, Any]) -> None:
        if has_ended(answer) and not item.answer.done():
            # A late one ran before it was waited for, so nothing here bounds its time.
            if not item.is_late and (seconds := measure_seconds(answer)) is not None:
                waited_s = self.clock.monotonic_s() - item.since_s
                # The service's clock, but never more than our own wait: a wrong one must not slow every later look.
                self.times.learn(seconds if item.created_at is None else min(seconds, waited_s))
            item.answer.set_result(answer)
            self._saved = min(MOST_SAVED, self._saved + 1)
