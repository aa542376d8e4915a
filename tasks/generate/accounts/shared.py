"""The things that a batch shares with all others of its accounts, opened together: predictions, caps and pace."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.backends.client.rate_limiter import CreateLimiter, RateLimiter
from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.core.display import current_display
from tasks.generate.accounts.caps import AccountCaps, open_caps
from tasks.generate.accounts.heard_pauses import HearingRateLimiter
from tasks.generate.accounts.limits import AccountLimits
from tasks.generate.accounts.membership import AccountUse, Membership
from tasks.generate.accounts.pace import UNLIMITED_PER_MIN, AccountRateLimiter
from tasks.generate.prediction_ids import PredictionIds, open_prediction_ids
from tasks.generate.stop import StopSignal
from tasks.ledger.accounts.caps.place import CountingPlace, open_counting_place


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


def build_account_limiter(
    place: CountingPlace, use: AccountUse, *, weight: float, clock: Clock, stop: StopSignal
) -> CreateLimiter:
    """Build the limiter of an account; a stop ends every wait for a turn.

    Without a limit of the account, or without a place to meet in, a process keeps its own.
    """
    per_min = use.allowance.creates_per_min
    if per_min is not None and place.problem is not None:
        current_display.get().warn(
            f"the pace of {per_min:g} a minute holds for this run alone, because {place.problem}: other batches on the "
            "account are not known"
        )
    if place.problem is not None:
        return RateLimiter(per_min, now=clock.monotonic_s, sleep=stop.pausing(clock.sleep))
    # Without a known limit there is nothing to divide.
    if per_min is None:
        account = use.allowance.account
        return HearingRateLimiter(place.writer, account, clock=clock, sleep=stop.pausing(clock.sleep))
    member = Membership(name=secrets.token_hex(8), weight=weight, per_min=min(per_min, UNLIMITED_PER_MIN), use=use)
    return AccountRateLimiter(place.writer, member, clock=clock, sleep=stop.pausing(clock.sleep))
