"""The jobs that one worker holds: claimed a few at a time, so that others find the rest free."""

from __future__ import annotations

import asyncio
import socket

from tasks.core.errors import BatchStopped
from tasks.core.records import Job
from tasks.generate.batch import Batch
from tasks.generate.jobs import generate_job
from tasks.generate.stop import stop_on_error
from tasks.ledger.open_jobs import OpenJob, find_open_jobs
from tasks.ledger.worker_leases import WorkerLeases

LOOK_AGAIN_S = 1.0
"""Seconds between looks for jobs of the shard that another worker has given back."""
IN_HAND = 2
"""Claimed jobs for each slot: the next one is there when one has ended."""


class Claims:
    """A worker's claims on a range of jobs."""

    def __init__(self, batch: Batch, holding: WorkerLeases) -> None:
        """Claim by `holding`, and generate in `batch`."""
        self._batch = batch
        self._holding = holding
        self._most = IN_HAND * batch.concurrency
        self._in_hand: dict[asyncio.Task[None], Job] = {}
        self._left_open: list[Job] = []
        self._ready: set[str] = set()

    async def work(self, first: int, last: int, planned_run: int | None = None) -> None:
        """Claim and generate the open jobs between two sort keys until none is left or the batch stops.

        Args:
            first: Sort key of the first job.
            last: Sort key of the last job.
            planned_run: Only jobs that this run has planned; None for all.
        """
        try:
            async with asyncio.TaskGroup() as group:
                with stop_on_error(self._batch.stop):  # the ledger is away: jobs in flight are stored all the same
                    await self._begin_all(group, first, last, planned_run)
        finally:
            await self._holding.release(self._left_open)

    async def _begin_all(self, group: asyncio.TaskGroup, first: int, last: int, planned_run: int | None) -> None:
        while not self._batch.stop.requested:
            room = self._most - len(self._in_hand)
            claimed = await self._holding.claim(first, last, at_most=room, planned_run=planned_run)
            for open_job in claimed:
                if self._can_do(open_job.job):
                    self._begin(group, open_job)
            if self._in_hand:
                await self._until_there_is_room(all_claimed=len(claimed) < room)
            elif await find_open_jobs(self._batch.engine, first, last, planned_run=planned_run):
                await self._holding.release_all()  # a claim whose answer was lost
                await self._batch.clock.sleep(LOOK_AGAIN_S)
            else:
                break

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
        if self._holding.holds(job):
            self._left_open.append(job)

    async def _until_there_is_room(self, *, all_claimed: bool) -> None:
        """Wait until a quarter of the slots is free, or other workers may have released jobs."""
        enough = 0 if all_claimed else self._most - max(1, self._most // 4)
        ends_s = self._batch.clock.monotonic_s() + LOOK_AGAIN_S
        while len(self._in_hand) > enough and (left_s := ends_s - self._batch.clock.monotonic_s()) > 0:
            await asyncio.wait(list(self._in_hand), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
