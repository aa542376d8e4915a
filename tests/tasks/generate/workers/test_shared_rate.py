"""One account's rate over several workers, each with a connection and a clock of its own; the database is real."""

from __future__ import annotations

import asyncio
import time
from itertools import chain, pairwise

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.generate.workers.schema import rates
from tasks.generate.workers.shared_rate import AHEAD_S, SharedRateLimiter

PER_MIN = 6_000.0
STEP_S = 60 / PER_MIN


def worker(ledger: AsyncEngine, per_min: float = PER_MIN) -> SharedRateLimiter:
    """One of the workers of account `a`."""
    return SharedRateLimiter(ledger, "a", per_min, now=time.monotonic, sleep=asyncio.sleep)


async def turns(pace: SharedRateLimiter, number: int, *, callers: int = 8) -> list[float]:
    """So many turns of one worker, asked for by several callers side by side."""
    taken: list[float] = []

    async def caller() -> None:
        while len(taken) < number:
            taken.append(0.0)
            taken[taken.index(0.0)] = await pace.acquire()

    await asyncio.gather(*(caller() for _ in range(callers)))
    return taken


async def read_rate(ledger: AsyncEngine) -> float:
    """The rate that all workers keep now."""
    async with ledger.connect() as db:
        return float((await db.execute(select(rates.c.per_min))).scalar_one())


async def test_no_two_workers_have_the_same_turn(ledger: AsyncEngine) -> None:
    """The turns of all workers together are one sequence, and no two of them are nearer than the rate allows."""
    await worker(ledger).acquire()
    of_each = await asyncio.gather(*(turns(worker(ledger), 60) for _ in range(3)))
    taken = sorted(chain.from_iterable(of_each))
    assert len(taken) == 180
    assert all(later - earlier > 0.99 * STEP_S for earlier, later in pairwise(taken))


async def test_a_killed_workers_turns_are_few(ledger: AsyncEngine) -> None:
    """A worker never holds more turns than those of the next moment, however many of its jobs wait."""
    pace = worker(ledger)
    waiting = [asyncio.create_task(pace.acquire()) for _ in range(500)]
    for _ in range(50):
        await asyncio.sleep(0.01)
        assert len(pace._turns) <= PER_MIN / 60 * AHEAD_S
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_429_holds_up_every_worker_and_cuts_once(ledger: AsyncEngine) -> None:
    """Nobody's next turn is before the provider's time; a burst of refusals cuts the common rate once."""
    first, second = worker(ledger), worker(ledger)
    sent = [await first.acquire(), await second.acquire()]
    first.record_throttle(sent[0], retry_after_s=0.6, per_min=None)
    await first._wait_for_cuts()
    second.record_throttle(sent[1], retry_after_s=0.1, per_min=None)
    await second._wait_for_cuts()
    assert await read_rate(ledger) == 0.75 * PER_MIN
    assert min(await asyncio.gather(worker(ledger).acquire(), second.acquire())) > max(sent) + 0.6 - STEP_S


async def test_the_common_rate_climbs_with_what_any_worker_was_let_through(ledger: AsyncEngine) -> None:
    """Steps of a tenth after five calls of whichever worker, and never beyond the account's own."""
    first, second = worker(ledger), worker(ledger)
    first.record_throttle(await first.acquire(), retry_after_s=0, per_min=None)
    for pace in [first, second] * 20:
        await pace.acquire()
        pace.record_success()
    assert await read_rate(ledger) == PER_MIN


async def test_a_stated_rate_never_goes_beyond_the_configured_one(ledger: AsyncEngine) -> None:
    """The provider's limit of another kind does not lift the user's own."""
    pace = worker(ledger)
    pace.record_throttle(await pace.acquire(), retry_after_s=0, per_min=10 * PER_MIN)
    await pace.acquire()
    assert await read_rate(ledger) == PER_MIN


async def test_a_stated_rate_is_kept_by_all(ledger: AsyncEngine) -> None:
    """What the provider states is kept a little under, and lateness is not made up for."""
    pace = worker(ledger)
    pace.record_throttle(await pace.acquire(), retry_after_s=0, per_min=600)
    await pace._wait_for_cuts()
    other = worker(ledger)
    taken = [await other.acquire() for _ in range(4)]
    assert await read_rate(ledger) == 0.97 * 600
    assert all(later - earlier > 0.1 for earlier, later in pairwise(taken))
