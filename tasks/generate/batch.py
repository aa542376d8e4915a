"""An open batch: the state that all shards of one process share while it runs.

Task runs get numbers and look the batch up here, so no client, lock or prompt travels through Prefect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.backends import build_backend
from tasks.backends.base import Backend, keeps_list
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.core.errors import BatchStopped
from tasks.core.records import Job
from tasks.generate.accounts.attempt_money import Overruns
from tasks.generate.accounts.caps import AccountCaps
from tasks.generate.accounts.limits import AccountLimits
from tasks.generate.accounts.pace import AccountRateLimiter
from tasks.generate.accounts.shared import open_accounts
from tasks.generate.budget import Budget, BudgetCap
from tasks.generate.limits import BackendLimits, FailureWatch, OutcomeWatch
from tasks.generate.metrics import Metrics, open_metrics
from tasks.generate.prediction_ids import PredictionIds
from tasks.generate.sent_prices import SentPrices
from tasks.generate.stop import StopSignal
from tasks.generate.tally import Tally
from tasks.generate.window import JobWindow
from tasks.ledger.journal import Journal
from tasks.ledger.queries import sum_committed_micros
from tasks.ledger.worker_leases import WorkerLeases
from tasks.store.output import Output


class Gate(Protocol):
    """Decides which images count, as they land; see `tasks.scores.gates`."""

    missing: int
    """Images that were asked for and are not to be had: rejected, and no reroll or money is left."""

    async def land(self, job: Job) -> None:
        """Look at the image that a job has just made. Raises nothing: what breaks stops the batch."""

    async def settle(self) -> bool:
        """Look at all images once more; True while jobs are open that it has written."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """The shared state of one run over one output folder."""

    out: Output
    settings: Settings
    engine: AsyncEngine
    journal: Journal
    budget: BudgetCap
    caps: AccountCaps
    """The caps over all batches."""
    overruns: Overruns = field(default_factory=Overruns)
    watch: OutcomeWatch
    stop: StopSignal
    clock: Clock
    ids: PredictionIds
    """Claims of this process on the services' predictions."""
    accounts: AccountLimits
    leases: WorkerLeases | None = None
    """The leases of this process, where several workers share the batch."""
    gate: Gate | None = None
    """None: every image counts."""
    missing: int = 0
    """See `Gate.missing`; kept when the gate is closed."""
    share: float = 1.0
    """This process's share of an account's calls other than creates."""
    tally: Tally = field(default_factory=Tally)
    metrics: Metrics = field(default_factory=open_metrics)
    rerouted: set[str] = field(default_factory=set)
    """Jobs that this process hands to another backend: whoever has one in hand goes on with it, and no other shard."""
    _windows: dict[str | None, JobWindow] = field(default_factory=dict)
    _sent_prices: SentPrices | None = None
    _backends: dict[str, Backend] = field(default_factory=dict)
    _shared: dict[str, Any] = field(default_factory=dict)
    """Whatever backends of one account share."""
    _limits: dict[str, BackendLimits] = field(default_factory=dict)

    @property
    def concurrency(self) -> int:
        """Jobs in flight at most, over all backends."""
        return sum(instance.concurrency for instance in self.settings.backends.values())

    def backend(self, name: str) -> Backend:
        """Open the backend `name`, once.

        Raises:
            ConfigError: It is not configured, or has bad settings.
        """
        # One client and one connection pool for all shards of the process.
        if name not in self._backends:
            opened = build_backend(
                name, self.settings, share=self.share, batch=self.ids.registry.batch, shared=self._shared
            )
            if keeps_list(opened):
                # Only a service with a shared list can confuse batches.
                self.ids.warn_where_alone()
            self._backends[name] = opened
        return self._backends[name]

    def get_window(self, name: str | None) -> JobWindow:
        """The bound on the open jobs of the backend `name`; None for shards of all backends."""
        return self._windows.setdefault(name, JobWindow())

    async def find_backend_as_sent(self, name: str, started_us: int) -> Backend:
        """The backend `name` with the prices at which an attempt was sent that began at `started_us`."""
        if self._sent_prices is None:
            # Opened late: most runs inherit no attempt, and it reads every earlier run's settings.
            self._sent_prices = SentPrices(self.engine, self.settings, is_alone=self.leases is None)
        return await self._sent_prices.find_backend(name, started_us) or self.backend(name)

    def get_limits(self, name: str) -> BackendLimits:
        """The limits of the backend `name`, shared by all shards."""
        if name not in self._limits:
            instance, allowance = self.settings.backends[name], self.backend(name).allowance()
            self._limits[name] = self.accounts.build(instance, allowance, now=self.clock.monotonic_s)
        return self._limits[name]

    async def pause(self, seconds: float) -> None:
        """Sleep before a create, and wake up when the batch stops.

        Raises:
            BatchStopped: The batch stops, so nothing may be created.
        """
        await self.stop.pausing(self.clock.sleep)(seconds)

    @property
    def rate_limiters(self) -> list[RateLimiter | AccountRateLimiter]:
        """The limiters of this process, one for each account."""
        return self.accounts.rate_limiters

    async def close(self) -> None:
        """Write the journal's last changes and close the backends."""
        try:
            # First, because it may hold paid results; a backend that fails to close must not cost them.
            await self.journal.close()
        finally:
            if self._sent_prices is not None:
                await self._sent_prices.close()
            await self.accounts.close()
            for backend in self._backends.values():
                await backend.close()
            await asyncio.to_thread(self.metrics.flush)


@asynccontextmanager
async def open_batch(
    out: Output,
    engine: AsyncEngine,
    settings: Settings,
    *,
    budget_micros: int | None,
    clock: Clock | None = None,
    caller: str = "",
) -> AsyncIterator[Batch]:
    """Open a batch over a ledger and make it the current one in the block.

    Args:
        out: Where its files go. The caller holds its lock: this process works on the batch alone.
        engine: Its ledger.
        settings: The configuration.
        budget_micros: Cap over the batch's whole life in millionths of a dollar; None for no cap.
        clock: For tests.
        caller: On whose behalf it runs.
    """
    clock, stop = clock or Clock(), StopSignal(partial(find_cause, out))
    async with open_accounts(engine, settings, caller=caller, clock=clock, stop=stop) as shared:
        batch = Batch(
            out=out,
            settings=settings,
            engine=engine,
            journal=Journal(engine),
            budget=Budget(cap_micros=budget_micros, committed_micros=await sum_committed_micros(engine)),
            caps=shared.caps,
            watch=FailureWatch(rate=settings.stop.error_rate, window=settings.stop.error_window),
            stop=stop,
            clock=clock,
            ids=shared.ids,
            accounts=shared.limits,
        )
        # Prefect copies the context into its task runs, which is how `get_current_batch` finds it there.
        with _make_current(batch):
            try:
                yield batch
            finally:
                await batch.close()


def find_cause(out: Output, stopped: BatchStopped) -> BatchStopped:
    """The cause behind a stop: a ledger in a folder that was moved away cannot be read or written either."""
    try:
        out.check_in_place()
    except BatchStopped as moved:
        return moved
    return stopped


_CURRENT: ContextVar[Batch] = ContextVar("batch")


@contextmanager
def _make_current(batch: Batch) -> Iterator[None]:
    token = _CURRENT.set(batch)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def get_current_batch() -> Batch:
    """The batch that this code runs in.

    Raises:
        LookupError: No batch is open, which is a programming error.
    """
    return _CURRENT.get()
