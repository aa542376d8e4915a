"""A worker's own leases: claimed, renewed while the worker lives, checked before money leaves, given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped, LeaseLost
from tasks.core.records import Job
from tasks.ledger.leases import LeaseTerms, claim, release, renew, revoke
from tasks.ledger.queries import OpenJob

RENEWALS = 4
"""For each length of a lease: one that fails or comes late costs nothing."""


class WorkerLeases:
    """What one worker holds; when each lease ends it knows by a clock of its own, and never too late."""

    def __init__(self, engine: AsyncEngine, terms: LeaseTerms, clock: Clock) -> None:
        """Hold nothing yet."""
        self.terms = terms
        self._engine = engine
        self._clock = clock
        self._until_s: dict[str, float] = {}

    async def claim(
        self, first: int, last: int, *, at_most: int | None = None, planned_run: int | None = None
    ) -> list[OpenJob]:
        """See `tasks.ledger.leases.claim`."""
        until_s = self._end_of_a_lease()
        claimed = await claim(self._engine, first, last, self.terms, at_most=at_most, planned_run=planned_run)
        self._until_s |= {entry.job.job_id: until_s for entry in claimed}
        return claimed

    def check(self, job: Job) -> None:
        """Pass while a paid call may leave for the job.

        Raises:
            LeaseLost: Too little of its lease is left, or nothing.
        """
        left_s = self._until_s.get(job.job_id, 0.0) - self._clock.since_boot_s()
        if left_s < self.terms.send_margin_s:
            raise LeaseLost(f"{job.label}: its lease ends too soon to send it; another worker goes on with it")

    def holds(self, job: Job) -> bool:
        """Whether the job is this worker's for certain."""
        return self._until_s.get(job.job_id, 0.0) > self._clock.since_boot_s()

    async def renew(self) -> None:
        """Make every lease last as long as a new one; those that have ended are forgotten."""
        until_s, asked = self._end_of_a_lease(), frozenset(self._until_s)
        held = await renew(self._engine, self.terms, asked)
        for job_id in asked & self._until_s.keys():
            if job_id in held:
                self._until_s[job_id] = until_s
            else:
                del self._until_s[job_id]

    def ended(self, job: Job) -> None:
        """The job is done: its lease needs no renewing."""
        self._until_s.pop(job.job_id, None)

    async def release(self, jobs: Collection[Job]) -> None:
        """Give these jobs back, also those whose leases have ended; what another worker took over stays its own."""
        for job in jobs:
            self._until_s.pop(job.job_id, None)
        if jobs:
            await release(self._engine, self.terms.owner, [job.job_id for job in jobs])

    async def release_all(self) -> None:
        """Give back whatever the ledger says is this worker's, while it has nothing in hand."""
        self._until_s.clear()
        await revoke(self._engine, self.terms.owner)

    @asynccontextmanager
    async def renewing(self, on_failure: Callable[[BatchStopped], None]) -> AsyncIterator[None]:
        """Renew in the background for the duration of the block; a ledger that stays away is told to `on_failure`."""
        renewals = asyncio.create_task(self._keep_renewing(on_failure))
        try:
            yield
        finally:
            renewals.cancel()
            with suppress(asyncio.CancelledError):
                await renewals

    async def _keep_renewing(self, on_failure: Callable[[BatchStopped], None]) -> None:
        while True:
            await self._clock.sleep(self.terms.lease_s / RENEWALS)
            try:
                await self.renew()
            except BatchStopped as stopped:
                on_failure(stopped)

    def _end_of_a_lease(self) -> float:
        """Of one that is asked for now: the database's begins later."""
        return self._clock.since_boot_s() + self.terms.lease_s
