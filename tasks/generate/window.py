"""Bound on the jobs that are open at once, counted job by job: a shard's last job holds no other shard up."""

from __future__ import annotations

import asyncio


class JobWindow:
    """Counts the open jobs of shards; a further shard opens when there are few enough."""

    def __init__(self) -> None:
        """Start with no open shard."""
        self._open: dict[int, int] = {}
        self._jobs = 0
        self._freed = asyncio.Event()

    async def open_shard(self, first: int, jobs: int, *, most: int) -> None:
        """Wait until fewer than `most` jobs are open, then count those of the shard that begins at sort key `first`."""
        while self._jobs >= most:
            self._freed.clear()
            await self._freed.wait()
        # By shard, because a job that ends twice, or a shard that is closed early, must not free others' room.
        self._open[first] = jobs
        self._jobs += jobs

    def end_job(self, first: int) -> None:
        """Note that one job of the shard has ended."""
        # The shard may be closed already, and its jobs freed with it.
        self._free(first, min(1, self._open.get(first, 0)))

    def close_shard(self, first: int) -> None:
        """Note that the shard has ended, with the jobs that were found to be done already."""
        self._free(first, self._open.get(first, 0))
        self._open.pop(first, None)

    def _free(self, first: int, jobs: int) -> None:
        if jobs:
            self._open[first] -= jobs
            self._jobs -= jobs
            self._freed.set()
