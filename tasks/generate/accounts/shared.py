"""The things that a batch shares with all others of its accounts, opened together: predictions, caps and pace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.generate.accounts.caps import AccountCaps, open_caps
from tasks.generate.accounts.limits import AccountLimits
from tasks.generate.accounts.pace import build_account_limiter
from tasks.generate.prediction_ids import PredictionIds, open_prediction_ids
from tasks.generate.stop import StopSignal
from tasks.ledger.accounts.caps.place import open_counting_place


@dataclass(frozen=True, slots=True)
class SharedAccounts:
    """Parts of one process in what its accounts allow."""

    ids: PredictionIds
    caps: AccountCaps
    limits: AccountLimits


@asynccontextmanager
async def open_accounts(
    engine: AsyncEngine,
    settings: Settings,
    *,
    caller: str,
    clock: Clock,
    stop: StopSignal,
    workers: int | None = None,
) -> AsyncIterator[SharedAccounts]:
    """Open the parts of a batch for the block.

    Args:
        engine: The batch's ledger.
        settings: The run's.
        caller: On whose behalf it runs.
        clock: Its clock, where no server has one that all share.
        stop: Ends the waits for a turn.
        workers: Processes that share the batch; None: this one has it alone.
    """
    is_worker = workers is not None
    async with (
        open_prediction_ids(engine) as ids,
        open_counting_place(settings, engine, is_worker=is_worker) as place,
        open_caps(
            place,
            engine,
            settings,
            batch=ids.registry.batch,
            caller=caller,
            clock=clock,
            is_worker=is_worker,
        ) as caps,
    ):
        weight = settings.priority / (workers or 1)
        limits = AccountLimits(
            lambda use: build_account_limiter(place, use, weight=weight, clock=clock, stop=stop),
        )
        yield SharedAccounts(ids, caps, limits)
