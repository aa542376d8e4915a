"""News between the processes of a run: about once a second each adds its own to the fleet's row and reads the others'."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, Update, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.core.clock import repeat_every
from tasks.core.configuration.sections import StopSettings
from tasks.core.errors import BatchStopped
from tasks.core.records import IN_FLIGHT_STATES
from tasks.generate.limits import check_failures
from tasks.generate.stop import INTERRUPTED, StopSignal, stop_on_error
from tasks.generate.tally import Tally
from tasks.generate.workers.schema import fleet, news
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import fetch_rows, run_transaction
from tasks.ledger.leases import find_silent_jobs, is_newest

BEAT_EVERY_S = 1.0
FAILED, SUCCEEDED = "F", "s"
"""The end of a job, one letter each in `fleet.recent`."""


@dataclass(frozen=True, slots=True)
class _News:
    """The part that a worker sends at once, until it knows that it was counted."""

    number: int
    ends: str
    told: Tally
    values: dict[str, str | int]


class Heartbeat:
    """Exchanges one process's news with the others', and watches the failures of all workers together."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        run: int,
        stop: StopSignal,
        limits: StopSettings,
        lease_s: float | None = None,
    ) -> None:
        """Exchange news of the run `run`.

        Args:
            engine: The ledger.
            run: The run's number.
            stop: This process's signal.
            limits: When failures stop all workers.
            lease_s: Length of a lease, by which silent workers are told; None: nobody looks for them.
        """
        self._lease_s = lease_s
        self._engine = engine
        self._run = run
        self._stop = stop
        self._limits = limits
        self._ends = ""
        self._reported = Tally()
        self._has_reported_stop = False
        self._worker = secrets.token_hex(8)
        self._number = 0
        self._unconfirmed: _News | None = None
        self._one_at_a_time = asyncio.Lock()

    def note(self, *, failed: bool) -> None:
        """Count one finished job; the failures of all workers decide together."""
        self._ends += FAILED if failed else SUCCEEDED

    async def send(self, tally: Tally) -> None:
        """Write this worker's news since the last time; stop when the batch stops or the database is away."""
        # A cancelled caller cannot know whether the news was written, and news must not be counted twice.
        await asyncio.shield(asyncio.create_task(self._send_once(tally)))

    async def _send_once(self, tally: Tally) -> None:
        async with self._one_at_a_time:
            # What was sent and not confirmed goes first, and what has come since goes after it.
            for _ in range(1 if self._unconfirmed is None else 2):
                with stop_on_error(self._stop):
                    await self._exchange(tally)
            await self._report_stop()

    async def _exchange(self, tally: Tally) -> None:
        if self._unconfirmed is None:
            told = replace(tally)
            self._unconfirmed = _News(self._number + 1, self._ends, told, self._build_news(told))
        sent, statement = self._unconfirmed, _build_news_update(self._run, self._limits.error_window)
        rows = await run_transaction(self._engine, lambda db: _count_news(db, statement, self._worker, sent))
        row = next(iter(rows), None)
        # Only after the commit, and only what was sent: jobs end during the await.
        self._unconfirmed, self._number = None, sent.number
        self._ends, self._reported = self._ends[len(sent.ends) :], sent.told
        # The update matches only while this run is the newest.
        if row is None:
            raise BatchStopped(INTERRUPTED, "another run of this batch has begun")
        self._obey_stop(row.stop_reason, row.stop_message)
        self._check_failures(row.recent)

    async def receive(self, tally: Tally) -> None:
        """Read the counts of all workers into `tally`; stop when the batch stops or the database is away."""
        await self._report_stop()
        with stop_on_error(self._stop):
            [row] = await fetch_rows(self._engine, select(fleet))
            [(tally.in_flight,)] = await fetch_rows(self._engine, _COUNT_IN_FLIGHT)
            tally.succeeded, tally.failed = row.succeeded, row.failed
            tally.cost_micros, tally.cost_unknown = row.cost_micros, row.cost_unknown
            tally.committed_micros = row.committed_micros
            if self._lease_s is not None:
                tally.silent = await find_silent_jobs(self._engine, self._lease_s)
            self._obey_stop(row.stop_reason, row.stop_message)

    def _build_news(self, now: Tally) -> dict[str, str | int]:
        return {
            "ends": self._ends,
            "more_succeeded": now.succeeded - self._reported.succeeded,
            "more_failed": now.failed - self._reported.failed,
            "more_cost": now.cost_micros - self._reported.cost_micros,
            "more_unknown": now.cost_unknown - self._reported.cost_unknown,
        }

    def _obey_stop(self, reason: str | None, message: str | None) -> None:
        if reason is not None:
            self._has_reported_stop = True
            raise BatchStopped(reason, message or reason)

    def _check_failures(self, recent: str) -> None:
        window = self._limits.error_window
        # Counted over all workers: each of them alone may see too few jobs.
        if len(recent) >= window:
            check_failures(recent.count(FAILED), of=window, rate=self._limits.error_rate)

    async def _report_stop(self) -> None:
        """Write why this process stops; the first reason counts."""
        # A stop that came from the others is not sent back.
        if self._stop.cause is None or self._has_reported_stop:
            return
        cause = {"stop_reason": self._stop.cause.reason, "stop_message": str(self._stop.cause)}
        with suppress(BatchStopped):  # the others stop for the same reason: the database is away
            mine = (fleet.c.run == self._run) & fleet.c.stop_reason.is_(None)
            telling = update(fleet).where(mine).values(cause)
            await run_transaction(self._engine, lambda db: db.execute(telling))
            self._has_reported_stop = True


_COUNT_IN_FLIGHT = select(func.count()).where(jobs.c.state.in_(IN_FLIGHT_STATES))


async def _count_news(db: AsyncConnection, statement: Update, worker: str, sent: _News) -> Sequence[Row[Any]]:
    """Add the news unless they are counted already: a commit whose answer was lost is sent again."""
    row = insert(news).values(worker=worker, number=sent.number)
    newer = row.on_conflict_do_update(
        index_elements=[news.c.worker], set_={"number": sent.number}, where=news.c.number < sent.number
    )
    is_new = (await db.execute(newer.returning(news.c.number))).first() is not None
    values = sent.values if is_new else {name: type(value)() for name, value in sent.values.items()}
    return (await db.execute(statement, values)).all()


def _build_news_update(run: int, window: int) -> Update:
    more = {
        "succeeded": fleet.c.succeeded + bindparam("more_succeeded"),
        "failed": fleet.c.failed + bindparam("more_failed"),
        "cost_micros": fleet.c.cost_micros + bindparam("more_cost"),
        "cost_unknown": fleet.c.cost_unknown + bindparam("more_unknown"),
    }
    # In the statement, because two workers that read, append and write would lose news.
    recent = func.right(fleet.c.recent + bindparam("ends"), window)
    return (
        update(fleet)
        .where((fleet.c.run == run) & is_newest(run))
        .values(recent=recent, **more)
        .returning(fleet.c.recent, fleet.c.stop_reason, fleet.c.stop_message)
    )


@asynccontextmanager
async def follow_workers(beat: Heartbeat, tally: Tally) -> AsyncIterator[None]:
    """Keep the tally of the run that sent the workers up to date in the block, and pass stops on both ways."""
    # Twice as often as workers write, so that the display is at most half a beat behind.
    async with repeat_every(lambda: beat.receive(tally), every_s=BEAT_EVERY_S / 2):
        yield


@asynccontextmanager
async def send_heartbeats(beat: Heartbeat, tally: Tally) -> AsyncIterator[None]:
    """Exchange the news of a worker in the block."""
    async with repeat_every(lambda: beat.send(tally), every_s=BEAT_EVERY_S):
        yield
