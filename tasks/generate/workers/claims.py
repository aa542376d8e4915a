"""The jobs that one worker holds: claimed a few at a time, so that others find the rest free."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection
from dataclasses import dataclass

from tasks.core.errors import BatchStopped
from tasks.core.records import Job
from tasks.generate.batch import Batch
from tasks.generate.jobs import generate_job
from tasks.generate.stop import stop_on_error
from tasks.ledger.open_jobs import OpenJob, Selection, find_open_backends, find_open_jobs
from tasks.ledger.worker_leases import WorkerLeases

LOOK_AGAIN_S = 1.0
"""Seconds between looks for jobs of the shard that another worker has given back."""
IN_HAND = 3
"""Claimed jobs for each slot: one runs, the next one is there, and one may be looked for after a lost answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRange:
    """The jobs that a worker may claim."""

    first: int
    """Sort key of its shard's first job."""
    last: int
    ahead: int | None = None
    """Sort key up to which it claims jobs of later shards, while its own has none that is free."""
    planned_run: int | None = None
    """Only jobs that this run has planned; None for all."""


class Claims:
    """A worker's claims on a range of jobs; each backend has its own share, so that none waits for another."""

    def __init__(self, batch: Batch, leases: WorkerLeases) -> None:
        """Claim by `leases`, and generate in `batch`."""
        self._batch = batch
        self._leases = leases
        self._in_hand: dict[asyncio.Task[None], Job] = {}
        self._left_open: list[Job] = []
        self._ready: set[str] = set()

    async def work(self, meant: ClaimRange) -> None:
        """Claim and generate jobs until none of the shard is left or the batch stops."""
        try:
            async with asyncio.TaskGroup() as group:
                with stop_on_error(self._batch.stop):  # the ledger is away: jobs in flight are stored all the same
                    await self._begin_all(group, meant)
        finally:
            await self._leases.release(self._left_open)

    async def _begin_all(self, group: asyncio.TaskGroup, meant: ClaimRange) -> None:
        engine = self._batch.engine
        names = await find_open_backends(engine, Selection(planned_run=meant.planned_run))
        while not self._batch.stop.requested:
            wants_more = [name for name in names if not await self._claim(group, name, meant)]
            if self._in_hand:
                await self._wait_for_room(wants_more)
            elif await find_open_jobs(engine, meant.first, meant.last, planned_run=meant.planned_run):
                await self._leases.release_all()  # a claim whose answer was lost
                await self._batch.clock.sleep(LOOK_AGAIN_S)
            else:
                break

    async def _claim(self, group: asyncio.TaskGroup, name: str, meant: ClaimRange) -> bool:
        """Claim as many jobs of a backend as there is room for, and begin them; True where fewer were free."""
        room = self._count_room(name)
        ranges = [(meant.first, meant.last)]
        if meant.ahead is not None:  # a shard's last jobs can take long, and the worker has room meanwhile
            ranges.append((meant.last + 1, meant.ahead))
        for first, last in ranges:
            if room > 0:
                claimed = await self._leases.claim(
                    first, last, at_most=room, planned_run=meant.planned_run, backend=name
                )
                room -= len(claimed)
                for open_job in claimed:
                    if self._can_do(open_job.job):
                        self._begin(group, open_job)
        return room > 0

    def _get_most(self, name: str) -> int:
        return IN_HAND * self._batch.settings.backends[name].concurrency

    def _count_room(self, name: str) -> int:
        return self._get_most(name) - sum(job.backend == name for job in self._in_hand.values())

    def _can_do(self, job: Job) -> bool:
        """Check that this machine can use the job's backend; if not, stop the batch and name what is missing."""
        if job.backend not in self._ready:
            if missing := self._batch.backend(job.backend).ready():
                lacking = f"the worker on {socket.gethostname()} cannot use backend {job.backend!r}: {missing}"
                self._batch.stop.stop(BatchStopped("worker", f"{lacking} where the workers run, then resume"))
                self._left_open.append(job)
                return False
            self._ready.add(job.backend)
        return True

    def _begin(self, group: asyncio.TaskGroup, open_job: OpenJob) -> None:
        task = group.create_task(generate_job(self._batch, open_job))
        self._in_hand[task] = open_job.job
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget a finished job; a job that a stop left open is released at the end."""
        job = self._in_hand.pop(task)
        if self._leases.holds(job):
            self._left_open.append(job)

    async def _wait_for_room(self, names: Collection[str]) -> None:
        """Wait until a quarter of a backend's share is free, or other workers may have released jobs.

        Args:
            names: The backends that have more free jobs than this worker had room for.
        """
        ends_s = self._batch.clock.monotonic_s() + LOOK_AGAIN_S
        while self._in_hand and (left_s := ends_s - self._batch.clock.monotonic_s()) > 0:
            if any(self._count_room(name) >= max(1, self._get_most(name) // 4) for name in names):
                return
            await asyncio.wait(list(self._in_hand), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
