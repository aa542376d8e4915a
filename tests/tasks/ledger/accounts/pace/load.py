"""Batches that want turns of an account, in time that passes only while all of them wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.backends.base import Allowance
from tasks.core.clock import Clock
from tasks.generate.accounts.membership import AccountUse, Membership
from tasks.generate.accounts.pace import AccountRateLimiter
from tasks.ledger.accounts.place import build_sqlite_writer, prepare_tables
from tasks.ledger.database.writer import LedgerWriter, Result, SqliteWriter, Transaction
from tests.support.virtual_time import make_loop_clock, run_in_virtual_time


@dataclass
class InlineWriter:
    """Writes at once and without a thread, for time that passes only while everybody waits."""

    inner: SqliteWriter

    async def write(self, transaction: Transaction[Result]) -> Result:
        with self.inner.engine.begin() as db:
            return transaction(db)

    async def close(self) -> None:
        await self.inner.close()


@dataclass
class Load:
    """A batch as far as its account is concerned: jobs that want a turn, and run for a while."""

    writer: LedgerWriter
    name: str
    clock: Clock
    weight: float = 1.0
    per_min: float = 600.0
    concurrency: int = 64
    runs_s: float = 1.0
    account: str = "a"
    taken: int = 0
    turns: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        use = AccountUse(
            allowance=Allowance(account=self.account, creates_per_min=self.per_min),
            count_places=lambda: self.concurrency,
            count_taken=lambda: self.taken,
        )
        member = Membership(name=self.name, weight=self.weight, per_min=self.per_min, use=use)
        self.limiter = AccountRateLimiter(self.writer, member, clock=self.clock, sleep=self.clock.sleep)

    async def run(self, jobs: int, create: Callable[[str], None] = lambda _: None) -> None:
        """Run so many jobs to their end, then leave."""
        places = asyncio.Semaphore(self.concurrency)

        async def run_job() -> None:
            async with places:
                self.taken += 1
                try:
                    self.turns.append(await self.limiter.acquire())
                    create(self.name)
                    self.limiter.record_success()
                    await self.clock.sleep(self.runs_s)
                finally:
                    self.taken -= 1

        await asyncio.gather(*(run_job() for _ in range(jobs)))
        await self.limiter.close()


def in_virtual_time(folder: Path, work: Callable[[LedgerWriter, Clock], Coroutine[Any, Any, None]]) -> None:
    """Run it with a place of its own."""
    inner = build_sqlite_writer(folder / "accounts.db")
    assert isinstance(inner, SqliteWriter)

    async def run() -> None:
        writer = InlineWriter(inner)
        await writer.write(prepare_tables)
        await work(writer, make_loop_clock())

    try:
        run_in_virtual_time(run())
    finally:
        inner._thread.shutdown()
        inner.engine.dispose()
