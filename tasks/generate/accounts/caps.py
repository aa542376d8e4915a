"""The caps over all batches, as one process keeps them: each attempt is counted before it is sent.

An attempt counts at its most until its cost is known. A cap that is reached stops the batch once nothing of this process
is in flight that could give money back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.caps.cap import CapSettings, Payer
from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.core.display import current_display
from tasks.core.errors import BatchStopped
from tasks.core.records import Job
from tasks.generate.accounts.reached_cap import build_reached_stop
from tasks.ledger.accounts.caps.charges import Charge, Charger, Key, Settlement, TakenOver
from tasks.ledger.accounts.caps.counter import UNUSABLE, Counter, build_uncounted_stop
from tasks.ledger.accounts.caps.other_count import find_other_count
from tasks.ledger.accounts.caps.place import CountingPlace
from tasks.ledger.accounts.caps.recovery import settle_dead, settle_own
from tasks.ledger.accounts.caps.schema_recovery import note_schema
from tasks.ledger.accounts.caps.source import CapsSource, open_source


class AccountCaps:
    """Charges of one process."""

    def __init__(
        self, counter: Counter, source: CapsSource, caller: str, recover: Callable[[], Awaitable[bool]]
    ) -> None:
        """Charge to `caller` what `counter` counts, within the caps of `source`.

        `recover` settles what killed batches have left, and says whether that may have freed anything.
        """
        self._counter = counter
        self._source = source
        self._caller = caller
        self._recover = recover

    async def reserve(self, job: Job, micros: int | None, *, number: int, images: int) -> CapReservation:
        """Count an attempt at the most that it can cost; waits while jobs in flight here may give money back.

        Raises:
            BatchStopped: A cap does not allow it, a cap on dollars meets a job of unknown price, or the counts cannot be
                written.
        """
        charge = Charge(key=(job.job_id, number), payer=self._get_payer(job), micros=micros or 0, images=images)
        reservation = CapReservation(
            self._counter, charge.payer, charge.key, most_micros=charge.micros, most_images=images
        )
        await self._count(reservation, charge, is_priced=micros is not None)
        return reservation

    async def renew(self, reservation: CapReservation) -> None:
        """Count an attempt that has not been sent yet anew, where the caps were changed since; waits as `reserve` does.

        Raises:
            BatchStopped: They do not allow it any more. What was counted for it has come back.
        """
        counted = reservation.counted
        if counted is None or counted.caps == tuple(self._source.caps):
            return
        # In one transaction with the new charge: no other batch may take what comes back before.
        free = Settlement(key=reservation.key, payer=counted.charge.payer, cost_micros=0, images=0, most_micros=None)
        self._counter.note(free)
        await self._count(reservation, counted.charge, is_priced=counted.is_priced)

    def take_over(self, job: Job, *, number: int) -> CapReservation:
        """Take over the charge of an earlier run's attempt, which is counted already."""
        reservation = CapReservation(self._counter, self._get_payer(job), (job.job_id, number), most_micros=None)
        self._counter.note(TakenOver(key=reservation.key))
        return reservation

    async def close(self) -> None:
        """Write the ends that nobody waited for.

        Raises:
            BatchStopped: They cannot be written, and there are caps. The next run of the batch counts them.
        """
        try:
            await self._counter.drain()
        except BatchStopped:
            if self._source.caps:
                raise

    async def _count(self, reservation: CapReservation, charge: Charge, *, is_priced: bool) -> None:
        caps = tuple(self._source.caps)
        reservation.counted = _Counted(charge, is_priced, caps)
        if not is_priced and (cap := _find_dollar_cap(caps, charge.payer)) is not None:
            raise BatchStopped(
                "caps", f"a job has no known price, so the cap of {cap.describe()} cannot be kept: set price_usd"
            )
        # Without a cap nobody can be refused, and the end alone is counted.
        if caps:
            await self._charge(charge)

    async def _charge(self, charge: Charge) -> None:
        # Asked again after each end: every waiting job wakes, and the money may do for one of them only.
        while True:
            seen = self._counter.ends
            if (refusal := await self._counter.charge(charge)) is None:
                return
            # What ended meanwhile may have given back enough.
            if self._counter.has_in_flight or self._counter.ends != seen:
                await self._counter.wait_for_end(seen)
            elif not await self._free_more():
                raise build_reached_stop(refusal, charge.micros)

    async def _free_more(self) -> bool:
        try:
            return await self._recover()
        except UNUSABLE as exc:
            raise self._counter.build_stop(exc) from exc

    def _get_payer(self, job: Job) -> Payer:
        return Payer(caller=self._caller, backend=job.backend, model=job.model)


def _find_dollar_cap(caps: Sequence[CapSettings], payer: Payer) -> CapSettings | None:
    return next((cap for cap in caps if cap.usd is not None and cap.scope.covers(payer)), None)


@dataclass(frozen=True, slots=True)
class _Counted:
    """A charge, and the caps under which it was made."""

    charge: Charge
    is_priced: bool
    caps: Sequence[CapSettings]


class CapReservation:
    """The amount that is counted for one attempt until its cost is known."""

    def __init__(
        self, counter: Counter, payer: Payer, key: Key, *, most_micros: int | None, most_images: int = 1
    ) -> None:
        """Stand for the attempt of this key; `most_micros` is None for one of an earlier run."""
        self._counter: Counter | None = counter
        self._payer = payer
        self._most_micros = most_micros
        self._most_images = most_images
        self.key = key
        self.counted: _Counted | None = None
        """None for an attempt of an earlier run: it was sent."""

    def settle(self, cost_micros: int | None, *, images: int = 0) -> None:
        """Count the true cost and the images instead; an unknown cost keeps what is counted. Only the first call counts."""
        if self._counter is None:
            return
        counter, self._counter = self._counter, None
        counter.note(
            Settlement(
                key=self.key,
                payer=self._payer,
                cost_micros=cost_micros,
                images=images,
                most_micros=self._most_micros,
                most_images=self._most_images,
            )
        )


@asynccontextmanager
async def open_caps(
    place: CountingPlace,
    engine: AsyncEngine,
    settings: Settings,
    *,
    batch: str,
    caller: str,
    clock: Clock,
    is_worker: bool = False,
) -> AsyncIterator[AccountCaps]:
    """The caps of a batch, for the duration of the block.

    Args:
        place: Where attempts are counted.
        engine: The batch's ledger.
        settings: The run's.
        batch: The batch's identity.
        caller: On whose behalf it runs.
        clock: Its clock, where no server has one that all share.
        is_worker: The batch runs in other processes too; none of them may settle what another one has in flight.
    """
    owner = secrets.token_hex(8)
    source = await open_source(settings, batch, place.state)
    if not is_worker:
        await _settle_earlier_runs(place, engine, batch, has_caps=bool(source.caps))
    if source.caps:
        await _warn_of_other_counts(place, clock)
    counter = Counter(place.writer, lambda: Charger(batch=batch, owner=owner, caps=source.caps, now_us=clock.now_us))
    caps = AccountCaps(counter, source, caller, lambda: settle_dead(place, but=batch))
    try:
        yield caps
    finally:
        await caps.close()


async def _warn_of_other_counts(place: CountingPlace, clock: Clock) -> None:
    """Tell the user where other batches are counted elsewhere than this one."""
    if place.problem is not None:
        current_display.get().alert(
            f"the caps hold for this run alone, because {place.problem}: what other "
            "batches spend is not counted, and what this run spends is forgotten at its end"
        )
    elif not place.is_server and (other := await asyncio.to_thread(find_other_count, clock.now_us())):
        current_display.get().alert(
            f"batches of yours are counted in {other} too, and each place keeps the caps for itself: let XDG_STATE_HOME be "
            "the same for all, or name a `caps_database`"
        )


async def _settle_earlier_runs(place: CountingPlace, engine: AsyncEngine, batch: str, *, has_caps: bool) -> None:
    try:
        if place.is_server and engine.dialect.name != "sqlite":
            await note_schema(place.writer, engine, batch)
        await settle_own(place.writer, engine, batch)
    except UNUSABLE as exc:
        # Without caps nothing of a run depends on it.
        if has_caps:
            raise build_uncounted_stop(exc, place.writer) from exc
