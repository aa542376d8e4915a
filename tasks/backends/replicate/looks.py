"""Looks at predictions under way, each a task of its own, and the rest after one that broke."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from tasks.backends.client.polling import TROUBLE_PAUSE_S, get_trouble_pause_s
from tasks.backends.replicate.api import parse_throttled
from tasks.backends.replicate.watched import Watched
from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped


class Looks:
    """Looks of one watcher; usable inside one event loop."""

    def __init__(self, clock: Clock) -> None:
        """Begin none yet."""
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed = 0
        self._rest_until_s = 0.0

    @property
    def rest_s(self) -> float:
        """Seconds until the next look at the earliest, below 0 where one may begin: the last one broke."""
        return self._rest_until_s - self._clock.monotonic_s()

    def begin(self, items: list[Watched], look: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Start a look at these; until it ends no other look is about them."""
        for item in items:
            item.is_asked = True
        task = asyncio.create_task(self._end(items, look))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel all that are under way."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Cancel all, and wait until they have ended."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end(self, items: list[Watched], look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
            self._failed = 0
        except httpx.HTTPError as exc:
            self._back_off(exc)
        except BatchStopped as stopped:
            # The token was refused for all of them; each has to learn of it.
            fail(items, stopped)
        except Exception:  # noqa: BLE001  a list broke; asked for by their ids, each answer breaks for itself
            for item in items:
                item.is_alone = True
            self._back_off(None)
        finally:
            for item in items:
                item.is_asked = False

    def _back_off(self, exc: httpx.HTTPError | None) -> None:
        """A look that broke says nothing about the predictions: come again later, and ever later."""
        # Looks that break at the same time are one trouble.
        if self.rest_s <= 0:
            self._failed += 1
        # All images in flight wait meanwhile: after one broken answer in a hundred, 2 s at once halved the throughput.
        pause_s = get_trouble_pause_s(self._failed)
        if isinstance(exc, httpx.HTTPStatusError) and exc.response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            pause_s = parse_throttled(exc.response).retry_after_s or TROUBLE_PAUSE_S
        self._rest_until_s = max(self._rest_until_s, self._clock.monotonic_s() + pause_s)


def fail(items: list[Watched], error: Exception) -> None:
    """End the waiting for these with the error."""
    for item in items:
        if not item.answer.done():
            item.answer.set_exception(error)
