"""A worker's way through one shard of the batch: the ledger opened, jobs claimed little by little, the same engine.

Takes a `ShardOrder`, which travels as plain values; leaves every job of the shard ended, or open because the batch
stops. What a worker that died had claimed is claimed again when its leases are over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.backends.base import Allowance
from tasks.backends.client.rate_limiter import CreateLimiter
from tasks.core.clock import Clock
from tasks.core.settings import Settings
from tasks.generate.batch import Batch, build_local_limiter
from tasks.generate.stop import StopSignal
from tasks.generate.workers.claims import Claims
from tasks.generate.workers.heartbeat import Heartbeat, send_heartbeats
from tasks.generate.workers.shared_budget import SharedBudget
from tasks.generate.workers.shared_rate import SharedRateLimiter
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.journal import Journal
from tasks.ledger.leases import LeaseTerms, make_owner
from tasks.ledger.runs import RunStart, get_last_run
from tasks.ledger.worker_leases import WorkerLeases
from tasks.store.output import parse_output


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOrder:
    """Which jobs of which batch; ids and paths only."""

    out: str
    run: int
    first: int
    """Sort key of the shard's first job."""
    last: int
    places: int
    """So many shards run at once, and share the jobs in flight."""
    planned_run: int | None = None
    """Only jobs that this run has planned; None: all."""

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


async def work_on_shard(order: ShardOrder) -> None:
    """Bring the open jobs of the shard to an end; jobs that a stop leaves open stay open.

    Running it again, also beside another worker, goes on from the ledger and repeats nothing.

    Raises:
        ConfigError: This machine does not reach the ledger, or lacks a token that it needs. Nothing was spent here.
        BatchStopped: The ledger went away. The batch can be resumed.
    """
    async with open_ledger(parse_output(order.out).ledger_folder()) as engine:
        run = await get_last_run(engine)
        if run is None or run.number != order.run or run.outcome is not None:
            return  # the run that sent this is over
        settings = divide_concurrency(Settings.model_validate_json(run.start.settings), order.places)
        runner = settings.runner
        terms = LeaseTerms(
            owner=make_owner(), lease_s=runner.lease_s, send_margin_s=runner.send_margin_s, run=order.run
        )
        holding = WorkerLeases(engine, terms, Clock())
        async with open_worker(order, engine, settings, run.start, holding) as batch:
            await Claims(batch, holding).work(order.first, order.last, order.planned_run)


def divide_concurrency(settings: Settings, places: int) -> Settings:
    """The settings of one of so many shards at once: each has its part of the jobs in flight."""
    backends = {
        name: instance.model_copy(update={"concurrency": max(1, instance.concurrency // places)})
        for name, instance in settings.backends.items()
    }
    return settings.model_copy(update={"backends": backends})


@asynccontextmanager
async def open_worker(
    order: ShardOrder, engine: AsyncEngine, settings: Settings, start: RunStart, holding: WorkerLeases
) -> AsyncIterator[Batch]:
    """The batch as one worker has it: its limits are those of all workers together.

    Args:
        order: What it works on.
        engine: The ledger, on PostgreSQL.
        settings: With the shard's own part of the concurrency.
        start: What the run that sends the workers has recorded.
        holding: This worker's leases.
    """
    clock, stop = Clock(), StopSignal()
    beat = Heartbeat(engine, run=order.run, stop=stop, limits=settings.stop)
    cap_micros = start.budget_micros
    budget = SharedBudget(engine, owner=holding.terms.owner, cap_micros=cap_micros, sleep=clock.sleep)
    batch = Batch(
        out=parse_output(order.out),
        settings=settings,
        engine=engine,
        journal=Journal(engine, holding.terms),
        budget=budget,
        watch=beat,
        stop=stop,
        clock=clock,
        share=1 / order.places,
        holding=holding,
        build_limiter=lambda allowance: _build_limiter(engine, allowance, clock, stop),
    )
    try:
        async with holding.renewing(stop.stop), send_heartbeats(beat, batch.tally):
            yield batch
            await budget.settled()
    finally:
        await batch.close()


def _build_limiter(engine: AsyncEngine, allowance: Allowance, clock: Clock, stop: StopSignal) -> CreateLimiter:
    """A service without a limit is asked by each worker as it likes, and slows each down by itself."""
    if allowance.creates_per_min is None:
        return build_local_limiter(allowance, clock, stop)
    return SharedRateLimiter(
        engine, allowance.account, allowance.creates_per_min, now=clock.monotonic_s, sleep=stop.pausing(clock.sleep)
    )
