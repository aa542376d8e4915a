"""Slots for servers that make images of one shape in one go: jobs of one shape get theirs together."""

from __future__ import annotations

import asyncio
import json
from collections import deque

from tasks.core.records import Job


class PlacesByShape:
    """Places that go to jobs of one shape for as long as one waits; then to the shape that has waited longest.

    A server that makes images of one shape in one go (vLLM-Omni, SGLang) is asked for such images side by side.
    """

    def __init__(self, places: int) -> None:
        """Begin with so many free places."""
        self._free = places
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._shape = ""
        self._is_granting = False

    async def acquire(self, shape: str) -> None:
        """Wait for a place for a job of this shape."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(shape, deque()).append(granted)
        self._grant_soon()
        try:
            await granted
        except asyncio.CancelledError:
            # It was granted in the moment in which it was given up.
            if granted.done() and not granted.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        self._free += 1
        self._grant_soon()

    def _grant_soon(self) -> None:
        # Not at once: the jobs that begin, or end, in the same moment are seen together, whatever their order.
        if not self._is_granting:
            self._is_granting = True
            asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> None:
        self._is_granting = False
        while self._free and (queue := self._choose()):
            granted = queue.popleft()
            if not granted.done():
                self._free -= 1
                granted.set_result(None)

    def _choose(self) -> deque[asyncio.Future[None]] | None:
        self._waiting = {shape: queue for shape, queue in self._waiting.items() if queue}
        if self._shape not in self._waiting:
            self._shape = next(iter(self._waiting), "")
        return self._waiting.get(self._shape)


class PlacesOfShape:
    """The places of all shapes, for jobs of one of them."""

    def __init__(self, places: PlacesByShape, shape: str) -> None:
        """Take places of `places` for jobs of this shape."""
        self._places, self._shape = places, shape

    async def acquire(self) -> None:
        """Wait for a place."""
        await self._places.acquire(self._shape)

    def release(self) -> None:
        """Give it back."""
        self._places.release()


def get_shape(job: Job) -> str:
    """The facts that jobs have to share to be made in one go: size, steps and options."""
    return json.dumps([job.width, job.height, job.aspect_ratio, job.steps, job.backend_opts], sort_keys=True)
