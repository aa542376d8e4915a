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

IN_HAND = 3
"""Claimed jobs for each slot: one runs, and the next two are there. More would keep slots of other workers empty at the end."""
LOOK_AGAIN_S = 1.0
"""Seconds between looks for jobs of the shard that another worker has given back."""


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
        self._ahead: set[str] = set()
        """Backends of which the shard has no free job, so that jobs of later shards are claimed."""

    async def work(self, meant: ClaimRange) -> None:
        """Claim and generate jobs until none of the shard is left or the batch stops."""
        try:
            async with asyncio.TaskGroup() as group:
                with stop_on_error(self._batch.stop):  # the ledger is away: jobs in flight are stored all the same
                    await self._begin_all(group, meant)
        finally:
            # Others need not wait for the leases to end.
            await self._leases.release(self._left_open)

    async def _begin_all(self, group: asyncio.TaskGroup, meant: ClaimRange) -> None:
        engine = self._batch.engine
        names = await find_open_backends(engine, Selection(planned_run=meant.planned_run))
        while not self._batch.stop.requested:
            # Each backend by itself: a slow one must not keep a fast one's slots empty.
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
        self._ahead.discard(name)
        if not await self._fill(group, name, meant.planned_run, meant.first, meant.last):
            return False
        if meant.ahead is None:
            return True
        # A shard's last jobs can take long, and slots are free meanwhile.
        self._ahead.add(name)
        return await self._fill(group, name, meant.planned_run, meant.last + 1, meant.ahead)

    async def _fill(self, group: asyncio.TaskGroup, name: str, run: int | None, first: int, last: int) -> bool:
        if (room := self._count_room(name)) <= 0:
            return False
        claimed = await self._leases.claim(first, last, at_most=room, planned_run=run, backend=name)
        for open_job in claimed:
            if self._can_do(open_job.job):
                self._begin(group, open_job)
        # As many as asked for: more may be free.
        return len(claimed) < room

    def _count_room(self, name: str) -> int:
        """Jobs that may be claimed: of its own shard some ahead of the slots, of others' no more than slots are free."""
        # Few of other shards' jobs, because their own worker needs them and claims have to be returned.
        slots = self._count_slots(name)
        lent = self._batch.get_limits(name).lent if name in self._ready else 0
        # Jobs whose lost creates are looked for without a slot come on top, so that they keep none empty.
        most = (1 if name in self._ahead else IN_HAND) * slots + lent
        return most - sum(job.backend == name for job in self._in_hand.values())

    def _count_slots(self, name: str) -> int:
        return self._batch.settings.backends[name].concurrency

    def _can_do(self, job: Job) -> bool:
        """Check that this machine can use the job's backend; if not, stop the batch and name what is missing."""
        # Asked once per backend, when its first job is in hand: workers may have tokens for some only.
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
        # A callback, not an await: the loop that claims must not wait for any one job.
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget a finished job; a job that a stop left open is released at the end."""
        job = self._in_hand.pop(task)
        if self._leases.holds(job):
            self._left_open.append(job)

    async def _wait_for_room(self, names: Collection[str]) -> None:
        """Wait until there is room for a quarter of a backend's slots, or other workers may have released jobs.

        Args:
            names: The backends that have more free jobs than this worker had room for.
        """
        ends_s = self._batch.clock.monotonic_s() + LOOK_AGAIN_S
        while self._in_hand and (left_s := ends_s - self._batch.clock.monotonic_s()) > 0:
            if any(self._count_room(name) >= max(1, self._count_slots(name) // 4) for name in names):
                return
            await asyncio.wait(list(self._in_hand), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
