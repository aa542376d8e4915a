"""One pace for each account: over batches and processes, in the state folder and in PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tasks.backends.replicate_simulator.rates import Bucket
from tasks.core.clock import Clock
from tasks.core.display import Display, current_display
from tasks.generate.accounts.heard_pauses import HearingRateLimiter
from tasks.ledger.accounts.pace.turns import AHEAD_S
from tasks.ledger.accounts.place import build_sqlite_writer
from tasks.ledger.database.writer import LedgerWriter, Result, SqliteWriter, Transaction
from tests.support.factories import FakeClock
from tests.tasks.ledger.accounts.pace.load import InlineWriter, Load, in_virtual_time


def test_two_batches_share_a_rate_without_a_429(tmp_path: Path) -> None:
    """Two batches of 250 at 600 a minute meet a service with exactly that limit and no burst, and are never refused."""

    async def work(writer: LedgerWriter, clock: Clock) -> None:
        # A thousandth above: the instants of turns are sums of floats.
        bucket = Bucket(600.6, 1, clock.monotonic_s)
        refused: Counter[str] = Counter()

        def create(name: str) -> None:
            refused[name] += bucket.take() is not None

        loads = [Load(writer, name, clock) for name in ("first", "second")]
        await asyncio.gather(*(load.run(250, create) for load in loads))
        assert refused.total() == 0
        assert clock.monotonic_s() < 500 / 10 * 1.05

    in_virtual_time(tmp_path, work)


def test_a_small_batch_is_not_starved(tmp_path: Path) -> None:
    """While ten jobs of a small batch get their turns, a large one gets hardly more than ten."""

    async def work(writer: LedgerWriter, clock: Clock) -> None:
        large, small = Load(writer, "large", clock, concurrency=1_000), Load(writer, "small", clock)

        async def come_later() -> None:
            await clock.sleep(20)
            await small.run(10)

        await asyncio.gather(large.run(600), come_later())
        meanwhile = [turn for turn in large.turns if min(small.turns) <= turn <= max(small.turns)]
        assert len(meanwhile) <= 14
        assert min(small.turns) < 21

    in_virtual_time(tmp_path, work)


def test_shares_follow_the_weights(tmp_path: Path) -> None:
    """Three to one, while both want turns; all of it for whoever is left."""

    async def work(writer: LedgerWriter, clock: Clock) -> None:
        heavy, light = Load(writer, "heavy", clock, weight=3.0), Load(writer, "light", clock)
        await asyncio.gather(heavy.run(300), light.run(300))
        both = max(heavy.turns)
        assert 85 <= sum(turn <= both for turn in light.turns) <= 115
        assert clock.monotonic_s() < 600 / 10 * 1.05

    in_virtual_time(tmp_path, work)


def test_the_account_has_one_limit_in_flight(tmp_path: Path) -> None:
    """Two batches with eight places each have eight predictions in flight together."""

    async def work(writer: LedgerWriter, clock: Clock) -> None:
        loads = [Load(writer, name, clock, concurrency=8, runs_s=4.0) for name in ("first", "second")]
        await asyncio.gather(*(load.run(40) for load in loads))
        starts = sorted(chain.from_iterable(load.turns for load in loads))
        # A newcomer's first turns may meet those that the other one holds in its hand.
        assert max(sum(start <= at < start + 4.0 for start in starts) for at in starts[16:]) <= 9
        assert clock.monotonic_s() < 80 / 8 * 4.0 * 1.2

    in_virtual_time(tmp_path, work)


def test_a_429_of_one_is_heard_by_all(tmp_path: Path) -> None:
    """Nobody creates during the pause that one of them was told, and the common rate is cut once."""

    async def work(writer: LedgerWriter, clock: Clock) -> None:
        loads = [Load(writer, name, clock) for name in ("first", "second")]

        async def refuse() -> None:
            await clock.sleep(10)
            loads[0].limiter.record_throttle(clock.since_boot_s(), retry_after_s=30, per_min=None)

        await asyncio.gather(refuse(), *(load.run(200) for load in loads))
        turns = sorted(chain.from_iterable(load.turns for load in loads))
        assert not [turn for turn in turns if 10 + AHEAD_S + 0.01 < turn < 40]

    in_virtual_time(tmp_path, work)


def test_a_killed_batch_blocks_nobody(tmp_path: Path) -> None:
    """Its wish is forgotten after seconds, and so is what it had in flight."""

    async def work(writer: LedgerWriter, clock: Clock) -> None:
        killed, living = Load(writer, "killed", clock, concurrency=8), Load(writer, "living", clock, concurrency=8)
        running = asyncio.create_task(killed.run(500))
        await clock.sleep(5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert killed.limiter._telling is not None
        killed.limiter._telling.cancel()
        await living.run(80)
        assert clock.monotonic_s() < 5 + 10 + 80 / 8 * 1.2

    in_virtual_time(tmp_path, work)


@dataclass
class Unlimited:
    """A batch on an account without a known limit, which sends each job until it is accepted."""

    writer: LedgerWriter
    clock: Clock
    sent_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limiter = HearingRateLimiter(self.writer, "a", clock=self.clock, sleep=self.clock.sleep)

    async def run(self, jobs: int, create: Callable[[], float | None]) -> None:
        """Send so many jobs at once; `create` gives the Retry-After of a refusal, None where it accepts."""

        async def run_job() -> None:
            while True:
                turn_s = await self.limiter.acquire()
                self.sent_s.append(self.clock.monotonic_s())
                if (retry_after_s := create()) is None:
                    return self.limiter.record_success()
                self.limiter.record_throttle(turn_s, retry_after_s=retry_after_s, per_min=None)

        await asyncio.gather(*(run_job() for _ in range(jobs)))
        await self.limiter.close()


def test_a_stated_pause_is_heard_where_no_limit_is_known(tmp_path: Path) -> None:
    """A batch that begins while another one was told to wait sends nothing before the pause is over, nor is it slowed."""

    async def work(writer: LedgerWriter, clock: Clock) -> None:
        told, other = Unlimited(writer, clock), Unlimited(writer, clock)
        answers = iter([30.0])
        running = asyncio.create_task(told.run(1, lambda: next(answers, None)))
        await clock.sleep(5)
        await other.run(100, lambda: None)
        await running
        assert min(other.sent_s) == pytest.approx(30)
        assert max(other.sent_s) == pytest.approx(30)

    in_virtual_time(tmp_path, work)


def test_batches_that_are_refused_in_turn_never_hold_each_other_up(tmp_path: Path) -> None:
    """Every call of three batches is refused with a pause, for ever: the fourth still tries after each pause, and ends."""

    async def work(writer: LedgerWriter, clock: Clock) -> None:
        refused = [Unlimited(writer, clock) for _ in range(3)]
        running = [asyncio.create_task(batch.run(20, lambda: 10.0)) for batch in refused]
        await clock.sleep(1)
        accepted = Unlimited(writer, clock)
        answers = iter([10.0] * 3)
        await accepted.run(20, lambda: next(answers, None))
        assert clock.monotonic_s() < 1 + 20 * 2 * 10
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    in_virtual_time(tmp_path, work)


@pytest.mark.parametrize(
    "trouble", [OperationalError("SELECT", {}, sqlite3.OperationalError("disk I/O error")), TimeoutError()]
)
async def test_pauses_that_cannot_be_heard_hold_nobody(trouble: Exception) -> None:
    """A place that breaks, or never answers, costs a batch no more than a moment."""

    class Broken:
        async def write(self, transaction: Transaction[Result]) -> Result:
            raise trouble

        async def close(self) -> None:
            pass

    batch = Unlimited(Broken(), FakeClock().clock)
    answers = iter([1.0])
    await batch.run(5, lambda: next(answers, None))
    assert len(batch.sent_s) == 6


@dataclass
class Remarks(Display):
    """Keeps what is said."""

    said: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        self.said.append(text)


async def test_a_pace_that_cannot_be_shared_any_more_stops_nobody(tmp_path: Path) -> None:
    """A full disk of the state folder: said once, and the run keeps to the rate by itself."""

    class FullDisk(InlineWriter):
        async def write(self, transaction: Transaction[Result]) -> Result:
            raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    inner = build_sqlite_writer(tmp_path / "accounts.db")
    assert isinstance(inner, SqliteWriter)
    load = Load(FullDisk(inner), "first", FakeClock().clock, per_min=60.0, concurrency=1, runs_s=0)
    token = current_display.set(remarks := Remarks())
    await load.run(5)
    current_display.reset(token)
    assert load.turns[-1] - load.turns[0] > 3
    assert len(remarks.said) == 1
    await inner.close()
