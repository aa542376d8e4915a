"""Turns of one account, handed out to several processes, on both databases."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.ledger.accounts.caps.place import open_counting_place
from tasks.ledger.accounts.pace.schema import paces
from tasks.ledger.accounts.pace.turns import AHEAD_S
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.writer import LedgerWriter
from tests.tasks.ledger.accounts.pace.load import Load

PER_MIN = 6_000.0
STEP_S = 60 / PER_MIN


@pytest.fixture
async def place(out: Path) -> AsyncIterator[LedgerWriter]:
    """The place of a batch whose ledger is in its folder, or on PostgreSQL."""
    async with open_ledger(out, create=True) as engine, open_counting_place(Settings(), engine) as opened:
        yield opened.writer


@asynccontextmanager
async def joined(writer: LedgerWriter, *names: str) -> AsyncIterator[list[Load]]:
    """Processes on an account that no other test has: the tests share a PostgreSQL server."""
    account = os.environ["PYTEST_CURRENT_TEST"]
    loads = [Load(writer, name, Clock(), per_min=PER_MIN, runs_s=0, account=account) for name in names]
    try:
        yield loads
    finally:
        for load in loads:
            await load.limiter.close()


async def read_rate(writer: LedgerWriter) -> float:
    """The rate that all keep now."""
    mine = select(paces.c.per_min).where(paces.c.account == os.environ["PYTEST_CURRENT_TEST"])
    return await writer.write(lambda db: float(db.execute(mine).scalar_one()))


async def test_no_two_processes_have_the_same_turn(place: LedgerWriter) -> None:
    """All turns together are one sequence, and no two of them are nearer than the rate allows."""
    async with joined(place, "first", "second", "third") as loads:
        await asyncio.gather(*(load.run(60) for load in loads))
        taken = sorted(chain.from_iterable(load.turns for load in loads))
        assert len(taken) == 180
        assert all(later - earlier > 0.99 * STEP_S for earlier, later in pairwise(taken))


async def test_a_burst_of_429s_cuts_once_and_accepted_calls_raise_again(place: LedgerWriter) -> None:
    """Whoever is refused and whoever is let through; the rate never goes beyond the account's own."""
    async with joined(place, "first", "second") as (first, second):
        sent = [await first.limiter.acquire(), await second.limiter.acquire()]
        for load, turn in zip((first, second), sent, strict=True):
            load.limiter.record_throttle(turn, retry_after_s=0, per_min=None)
            await load.limiter._wait_for_cuts()
        assert await read_rate(place) == 0.75 * PER_MIN
        for load in [first, second] * 20:
            await load.limiter.acquire()
            load.limiter.record_success()
        assert await read_rate(place) == PER_MIN


async def test_a_stated_rate_is_kept_by_all(place: LedgerWriter) -> None:
    """What the service states is kept a little under, and never lifts the configured limit."""
    async with joined(place, "first", "second") as (first, second):
        first.limiter.record_throttle(await first.limiter.acquire(), retry_after_s=0, per_min=600)
        await first.limiter._wait_for_cuts()
        taken = [await second.limiter.acquire() for _ in range(4)]
        assert await read_rate(place) == 0.97 * 600
        assert all(later - earlier > 0.1 for earlier, later in pairwise(taken))
        first.limiter.record_throttle(await first.limiter.acquire(), retry_after_s=0, per_min=10 * PER_MIN)
        await first.limiter.acquire()
        assert await read_rate(place) == PER_MIN


async def test_few_turns_are_taken_ahead(place: LedgerWriter) -> None:
    """A process that is killed takes no more with it than the turns of the next moment."""
    async with joined(place, "first") as [load]:
        waiting = [asyncio.create_task(load.limiter.acquire()) for _ in range(500)]
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert len(load.limiter._turns) <= PER_MIN / 60 * AHEAD_S
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
