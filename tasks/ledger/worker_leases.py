"""Leases of one worker: claimed, renewed while it lives, checked before each paid call, released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped, LeaseLost
from tasks.core.last_check import checking_last
from tasks.core.records import Job
from tasks.ledger.leases import LeaseTerms, claim, release, renew, revoke
from tasks.ledger.open_jobs import OpenJob

RENEWALS = 4
"""Renewals per lease length, so one that fails or comes late loses nothing."""


class WorkerLeases:
    """Leases that one worker holds, timed by its own clock and never later than the database's."""

    def __init__(self, engine: AsyncEngine, terms: LeaseTerms, clock: Clock) -> None:
        """Hold nothing yet."""
        self.terms = terms
        self._engine = engine
        self._clock = clock
        self._until_s: dict[str, float] = {}
        self._sending: dict[str, asyncio.Timeout] = {}
        """Paid calls under way, each with the end of its job's lease."""

    async def claim(
        self,
        first: int,
        last: int,
        *,
        at_most: int | None = None,
        planned_run: int | None = None,
        backend: str | None = None,
    ) -> list[OpenJob]:
        """See `tasks.ledger.leases.claim`."""
        # Before the question: the time that the answer takes is on the safe side.
        until_s = self._end_of_a_lease()
        claimed = await claim(
            self._engine, first, last, self.terms, at_most=at_most, planned_run=planned_run, backend=backend
        )
        self._until_s |= {entry.job.job_id: until_s for entry in claimed}
        return claimed

    def check(self, job: Job) -> None:
        """Check that a paid call may be sent for the job.

        Raises:
            LeaseLost: Too little of its lease is left, or nothing.
        """
        if self._left_s(job.job_id) < self.terms.send_margin_s:
            raise LeaseLost(f"{job.label}: its lease ends too soon to send it; another worker goes on with it")

    @asynccontextmanager
    async def sending(self, job: Job, *, is_listed: bool) -> AsyncIterator[None]:
        """The block sends a paid call; where the service lists what it makes, it is given up when the job's lease ends.

        What arrives later is not in the list that the next worker reads, and would be paid for twice. Where there is no
        list, the next worker sends nothing in doubt, and the answer may be the only copy of an image that was paid for.

        Raises:
            LeaseLost: Too little of the lease is left, and nothing was sent; or it ended, and the call may have left.
        """
        # Checked with the intent too, but the wait before a repeated send may have outlasted the lease.
        self.check(job)
        timeout = asyncio.timeout(self._left_s(job.job_id) if is_listed else None)
        try:
            async with timeout:
                if is_listed:
                    self._sending[job.job_id] = timeout
                # The time-out stands still while the machine sleeps, and comes late to a process without CPU.
                with checking_last(partial(self._check_held, job)):
                    yield
        except TimeoutError:
            if not timeout.expired():
                raise
            raise LeaseLost(f"{job.label}: its lease ended during its call; another worker goes on with it") from None
        finally:
            self._sending.pop(job.job_id, None)

    def _check_held(self, job: Job) -> None:
        if not self.holds(job):
            raise LeaseLost(f"{job.label}: its lease ended before its call left; another worker goes on with it")

    def holds(self, job: Job) -> bool:
        """True while the lease on the job has certainly not ended."""
        return self._until_s.get(job.job_id, 0.0) > self._clock.since_boot_s()

    async def renew(self) -> None:
        """Extend every lease to full length; leases that ended are dropped."""
        until_s, asked = self._end_of_a_lease(), frozenset(self._until_s)
        held = await renew(self._engine, self.terms, asked)
        # Jobs may have been claimed or ended during the await.
        for job_id in asked & self._until_s.keys():
            if job_id in held:
                self._until_s[job_id] = until_s
            else:
                del self._until_s[job_id]
            timeout = self._sending.get(job_id)
            if timeout is not None and not timeout.expired():
                timeout.reschedule(asyncio.get_running_loop().time() + self._left_s(job_id))

    def ended(self, job: Job) -> None:
        """Stop renewing the lease of a job that is done."""
        self._until_s.pop(job.job_id, None)

    async def release(self, jobs: Collection[Job]) -> None:
        """Release these jobs, even after their leases ended; jobs taken over by another worker are left alone."""
        for job in jobs:
            self._until_s.pop(job.job_id, None)
        if jobs:
            await release(self._engine, self.terms.owner, [job.job_id for job in jobs])

    async def release_all(self) -> None:
        """Release every job that the ledger has under this worker's name; call it with no job in hand."""
        self._until_s.clear()
        await revoke(self._engine, self.terms.owner)

    @asynccontextmanager
    async def renewing(self, on_failure: Callable[[BatchStopped], None]) -> AsyncIterator[None]:
        """Renew in the background during the block; `on_failure` hears when the ledger stays unreachable."""
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
            # Goes on renewing: jobs in flight are still worth their leases when the server is back.
            except BatchStopped as stopped:
                on_failure(stopped)

    def _left_s(self, job_id: str) -> float:
        # The boot clock counts a laptop's sleep, during which the database's clock went on.
        return self._until_s.get(job_id, 0.0) - self._clock.since_boot_s()

    def _end_of_a_lease(self) -> float:
        """End of a lease requested now. The database starts counting later, so this end is never too late."""
        return self._clock.since_boot_s() + self.terms.lease_s
