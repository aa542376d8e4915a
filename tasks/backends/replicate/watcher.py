"""Waiting for many predictions at little cost.

One loop watches everything in flight. It looks for the first time when the model's usual time has passed, and so
seldom that the looks stay below about one a picture: with few in flight each is asked for by its id, with many one
list call shows a hundred of them, outputs included.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from tasks.backends.replicate.api import ReplicateApi, throttled
from tasks.backends.replicate.predictions import has_ended, seconds_taken
from tasks.clock import Clock, instant
from tasks.errors import BatchStopped, JobError
from tasks.limits import Pace

FEWEST_FOR_A_LIST = 4
"""From so many due predictions on, a list call is cheaper than a look at each."""
PAGE = 100
SHORTEST_PAUSE_S = 0.25
FIRST_LOOK_SHARE = 1.1
"""Of the usual time: most have ended then, and one look is enough."""
LEARNING = 0.1
"""Weight of one prediction in the running estimate of the usual time."""
CLOCK_SKEW_S = 60.0
TROUBLE_PAUSE_S = 2.0


@dataclass(slots=True)
class _Watched:
    """A prediction that somebody waits for."""

    prediction_id: str
    since_s: float
    """Monotonic instant of its submit."""
    next_look_s: float
    answer: asyncio.Future[dict[str, Any]]
    missed: int = 0
    """How often a list did not show it."""


@dataclass(slots=True)
class Watcher:
    """Watches the predictions of one backend; its loop runs while there are any."""

    api: ReplicateApi
    pace: Pace
    clock: Clock
    usual_s: float
    """Running estimate of a prediction's time."""
    _watched: dict[str, _Watched] = field(default_factory=dict)
    _loop: asyncio.Task[None] | None = None

    async def ended(self, prediction_id: str, *, timeout_s: float) -> dict[str, Any]:
        """The prediction's answer in a terminal state.

        Raises:
            TimeoutError: It has not ended after so many seconds.
            OutputGone: There is no such prediction any more.
            BatchStopped: The token is no longer accepted.
        """
        now_s = self.clock.monotonic_s()
        watched = _Watched(
            prediction_id, now_s, now_s + self.usual_s * FIRST_LOOK_SHARE, asyncio.get_running_loop().create_future()
        )
        self._watched[prediction_id] = watched
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._watch())
        try:
            return await asyncio.wait_for(watched.answer, timeout_s)
        finally:
            self._watched.pop(prediction_id, None)

    def learn(self, seconds: float) -> None:
        """Take one prediction's time into the estimate."""
        self.usual_s += LEARNING * (seconds - self.usual_s)

    async def close(self) -> None:
        """Stop watching."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _watch(self) -> None:
        while self._watched:
            due = self._due()
            if not due:
                await self._until_due()
                continue
            try:
                await self._look(due)
            except httpx.HTTPStatusError as exc:
                await self._back_off(exc.response)
            except httpx.HTTPError:
                await self.clock.sleep(TROUBLE_PAUSE_S)
            except Exception as exc:  # noqa: BLE001  whoever waits has to learn of it, whatever it is
                self._fail(due, exc)

    def _due(self) -> list[_Watched]:
        now_s = self.clock.monotonic_s()
        return [item for item in self._watched.values() if item.next_look_s <= now_s and not item.answer.done()]

    async def _until_due(self) -> None:
        waiting = [item.next_look_s for item in self._watched.values() if not item.answer.done()]
        wait_s = min(waiting, default=self.clock.monotonic_s() + SHORTEST_PAUSE_S) - self.clock.monotonic_s()
        await self.clock.sleep(max(0.005, min(wait_s, self._pause_s())))

    def _pause_s(self) -> float:
        """Between two looks at the same prediction: about one look a picture on the average."""
        return max(SHORTEST_PAUSE_S, self.usual_s / max(1, len(self._watched)))

    async def _look(self, due: list[_Watched]) -> None:
        if len(due) < FEWEST_FOR_A_LIST:
            for item in due:
                await self._look_at(item)
        else:
            await self._look_at_list(due)
        later_s = self.clock.monotonic_s() + max(self._pause_s(), self.usual_s * (0.25 if len(due) == 1 else 0.05))
        for item in due:
            item.next_look_s = later_s

    async def _look_at(self, item: _Watched) -> None:
        await self.pace.take()
        try:
            self._see(item, await self.api.get(item.prediction_id))
        except (JobError, BatchStopped) as exc:
            self._fail([item], exc)

    async def _look_at_list(self, due: list[_Watched]) -> None:
        """Read the list until everything that is due was seen, or the list is older than all of it."""
        missing = {item.prediction_id: item for item in due}
        oldest_s = min(item.since_s for item in due)
        since = self._wall(oldest_s) - timedelta(seconds=CLOCK_SKEW_S)
        await self.pace.take()
        async for page in self.api.list_since(since):
            for answer in page:
                if item := missing.pop(answer["id"], None):
                    self._see(item, answer)
            if not missing:
                break
            await self.pace.take()
        for item in missing.values():
            item.missed += 1
            if item.missed > 1:
                await self._look_at(item)

    def _wall(self, monotonic_s: float) -> datetime:
        ago_s = self.clock.monotonic_s() - monotonic_s
        return instant(self.clock.now_us() - round(ago_s * 1e6))

    def _see(self, item: _Watched, answer: dict[str, Any]) -> None:
        if has_ended(answer) and not item.answer.done():
            if (seconds := seconds_taken(answer)) is not None:
                self.learn(seconds)
            item.answer.set_result(answer)

    async def _back_off(self, answer: httpx.Response) -> None:
        """A 429 or 5xx to a look says nothing about the predictions: come again later."""
        pause_s = TROUBLE_PAUSE_S
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            pause_s = throttled(answer).retry_after_s or TROUBLE_PAUSE_S
        await self.clock.sleep(pause_s)

    def _fail(self, items: list[_Watched], error: Exception) -> None:
        for item in items:
            if not item.answer.done():
                item.answer.set_exception(error)
