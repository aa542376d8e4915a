"""One worker on one shard of the batch: it opens the ledger, claims jobs a few at a time and generates them.

A `ShardOrder` travels as plain values. Each job of the shard ends, or stays open because the batch stops. Jobs that a dead
worker had claimed are claimed again when its leases are over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.core.memory import share_heap
from tasks.generate.accounts.shared import open_accounts
from tasks.generate.batch import Batch, find_cause
from tasks.generate.stop import StopSignal
from tasks.generate.workers.claims import ClaimRange, Claims
from tasks.generate.workers.heartbeat import Heartbeat, send_heartbeats
from tasks.generate.workers.shared_budget import SharedBudget
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import find_ledger
from tasks.ledger.journal import Journal
from tasks.ledger.leases import LeaseTerms, make_owner
from tasks.ledger.runs import RunStart, get_last_run, parse_settings
from tasks.ledger.shard_counts import ShardCounts, count_shard
from tasks.ledger.worker_leases import WorkerLeases
from tasks.store.output import parse_output


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOrder:
    """The jobs of one shard, as ids and paths."""

    out: str
    run: int
    first: int
    """Sort key of the shard's first job."""
    last: int
    places: int
    """Shards that run at once and share the jobs in flight."""
    ahead: int | None = None
    """Sort key up to which the worker claims jobs of later shards, while its own has none that is free."""
    planned_run: int | None = None
    """Only jobs that this run has planned; None for all."""

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return asdict(self)


Guard = Callable[[Batch, int], AbstractAsyncContextManager[None]]
"""Opens the gate of a batch in the run of this number."""


async def work_on_shard(order: ShardOrder, guard: Guard = lambda _batch, _run: nullcontext()) -> ShardCounts:
    """Generate the open jobs of the shard; a stop leaves the rest open.

    Running it again, also beside another worker, continues from the ledger and repeats nothing.

    Args:
        order: The shard.
        guard: Decides which of its images count.

    Returns:
        How the jobs of the shard stand now.

    Raises:
        ConfigError: This machine cannot reach the ledger, or lacks a token. Nothing was spent here.
        BatchStopped: The ledger went away. The batch can be resumed.
    """
    share_heap()
    # The order comes from a run of this user's, perhaps on another machine.
    place = find_ledger(parse_output(order.out).ledger_folder(), is_trusted=True)
    async with open_ledger(place, is_checked=True) as engine:
        run = await get_last_run(engine)
        if run is None or run.number != order.run or run.outcome is not None:  # the run that sent this order is over
            return await count_shard(engine, order.first, order.last, planned_run=order.planned_run)
        # The run's settings come from the ledger: this machine may have another configuration file.
        settings = divide_concurrency(parse_settings(run), order.places)
        runner = settings.runner
        terms = LeaseTerms(
            owner=make_owner(), lease_s=runner.lease_s, send_margin_s=runner.send_margin_s, run=order.run
        )
        leases = WorkerLeases(engine, terms, Clock())
        async with open_worker(order, engine, settings, run.start, leases) as batch, guard(batch, order.run):
            meant = ClaimRange(first=order.first, last=order.last, ahead=order.ahead, planned_run=order.planned_run)
            await Claims(batch, leases).work(meant)
        # Other workers may have made some of the jobs, so the ledger is asked and not this process.
        return await count_shard(engine, order.first, order.last, planned_run=order.planned_run)


def divide_concurrency(settings: Settings, places: int) -> Settings:
    """Give each of so many shards at once its part of the jobs in flight."""
    backends = {
        name: instance.model_copy(update={"concurrency": max(1, instance.concurrency // places)})
        for name, instance in settings.backends.items()
    }
    return settings.model_copy(update={"backends": backends})


@asynccontextmanager
async def open_worker(
    order: ShardOrder, engine: AsyncEngine, settings: Settings, start: RunStart, leases: WorkerLeases
) -> AsyncIterator[Batch]:
    """Open the batch for one worker; its limits are those of all workers together.

    Args:
        order: The worker's shard.
        engine: The ledger, on PostgreSQL.
        settings: The run's, with this shard's part of the concurrency.
        start: The record of the run that sends the workers.
        leases: This worker's leases.
    """
    out = parse_output(order.out)
    clock, stop = Clock(), StopSignal(partial(find_cause, out))
    beat = Heartbeat(engine, run=order.run, stop=stop, limits=settings.stop)
    budget = SharedBudget(engine, owner=leases.terms.owner, cap_micros=start.budget_micros, sleep=clock.sleep)
    accounts = open_accounts(engine, settings, caller=start.caller, clock=clock, stop=stop, workers=order.places)
    async with accounts as shared:
        batch = Batch(
            out=out,
            settings=settings,
            engine=engine,
            journal=Journal(engine, leases.terms),
            budget=budget,
            caps=shared.caps,
            watch=beat,
            stop=stop,
            clock=clock,
            ids=shared.ids,
            share=1 / order.places,
            leases=leases,
            accounts=shared.limits,
        )
        try:
            async with leases.renewing(stop.stop), send_heartbeats(beat, batch.tally):
                yield batch
                # Costs that are not written yet would look like open reservations to the other workers.
                await budget.settled()
        finally:
            await batch.close()
