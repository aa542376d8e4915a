"""The counter of one process: charges go to the database in groups, together with the ends that came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy.exc import DBAPIError

from tasks.core.display import current_display
from tasks.core.errors import BatchStopped
from tasks.core.safe_text import database_error_text
from tasks.ledger.accounts.caps.charges import (
    Charge,
    Charger,
    Entry,
    Key,
    Refusal,
    Settlement,
    TakenOver,
    write_entries,
)
from tasks.ledger.accounts.place import name_place
from tasks.ledger.database.writer import LedgerWriter
from tasks.ledger.group_commit import GroupCommit

LATER_S = 0.25
"""Seconds until an end is written that no charge takes along: nobody waits for it, so many are written together."""
FOR_LATER_S = 2.0
"""The same while there is no cap: the counts are for caps of later, and a transaction for a few ends is their whole cost."""
GROUPING_S = 0.005
"""Seconds that a charge waits for others: all processes of a machine line up for these transactions, so few are better."""
UNUSABLE = (DBAPIError, OSError, BatchStopped)


class Counter:
    """Counts the attempts of one process."""

    def __init__(self, writer: LedgerWriter, build_charger: Callable[[], Charger]) -> None:
        """Write with `writer`, for whom `build_charger` says at that moment."""
        self._writer = writer
        self._build_charger = build_charger
        self._later: list[Entry] = []
        self._group: GroupCommit[Entry, Mapping[Key, Refusal]] = GroupCommit(self._write, grouping_s=GROUPING_S)
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight: set[Key] = set()
        self._ends = 0
        self._ended = asyncio.Event()
        self._waiting = 0
        self._has_lost = False

    @property
    def has_in_flight(self) -> bool:
        """True while the end of an attempt that is counted may give money back."""
        return bool(self._in_flight)

    @property
    def ends(self) -> int:
        """Number of ends that are written, for `wait_for_end`."""
        return self._ends

    async def wait_for_end(self, seen: int) -> None:
        """Wait until more ends are written than were `seen`."""
        self._waiting += 1
        try:
            while self._ends == seen and self._in_flight:
                # What is noted may be the very money that is waited for.
                if self._later:
                    await self.drain()
                else:
                    self._ended.clear()
                    await self._ended.wait()
        finally:
            self._waiting -= 1

    async def charge(self, charge: Charge) -> Refusal | None:
        """Count an attempt at its most; the cap that does not allow it, where one does not.

        Raises:
            BatchStopped: The counts cannot be written. Nothing may be sent.
        """
        try:
            return (await asyncio.shield(self._group.add(charge))).get(charge.key)
        except UNUSABLE as exc:
            raise self.build_stop(exc) from exc

    def note(self, entry: Settlement | TakenOver) -> None:
        """Count an end, or an attempt that is taken over; on disk within a moment, and before `drain` returns."""
        self._later.append(entry)
        if isinstance(entry, TakenOver):
            self._in_flight.add(entry.key)
        if self._waiting:
            self._group.add()
        elif self._timer is None:
            later_s = LATER_S if self._build_charger().caps else FOR_LATER_S
            self._timer = asyncio.get_running_loop().call_later(later_s, self._group.add)

    async def drain(self) -> None:
        """Write what is noted.

        Raises:
            BatchStopped: The counts cannot be written.
        """
        try:
            await asyncio.shield(self._group.add())
        except UNUSABLE as exc:
            raise self.build_stop(exc) from exc

    def build_stop(self, exc: BaseException) -> BatchStopped:
        """Build the stop for counts that cannot be read or written."""
        return build_uncounted_stop(exc, self._writer)

    def _take_later(self) -> list[Entry]:
        taken, self._later = self._later, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return taken

    async def _write(self, entries: Sequence[Entry]) -> Mapping[Key, Refusal]:
        later = self._take_later()
        if not later and not entries:
            return {}
        group, charger = [*later, *entries], self._build_charger()
        try:
            refused = await self._writer.write(partial(write_entries, entries=group, charger=charger))
        except BaseException as exc:
            if isinstance(exc, UNUSABLE) and not charger.caps:
                self._lose(group, exc)
                return {}
            # Their money is spent, so they stay to be counted with the next group.
            self._later = [*later, *self._later]
            self._ended.set()
            raise
        self._follow(group, refused)
        return refused

    def _lose(self, group: Sequence[Entry], exc: BaseException) -> None:
        """Go on without these counts: they are for caps of later, and no reason to stop a run that has none."""
        if not self._has_lost:
            self._has_lost = True
            words = database_error_text(exc)
            current_display.get().warn(f"what this run spends is not counted for caps that are set later ({words})")
        self._follow(group, {})

    def _follow(self, group: Sequence[Entry], refused: Mapping[Key, Refusal]) -> None:
        """Keep in mind what is in flight now that a group is written."""
        # Here and not where the outcome is awaited: others of the group may be awake before. Ends first, as they are
        # written: an attempt that is counted anew ends and begins in one group.
        ended = [entry.key for entry in group if isinstance(entry, Settlement)]
        self._in_flight.difference_update(ended)
        self._in_flight |= {entry.key for entry in group if isinstance(entry, Charge) and entry.key not in refused}
        self._ends += len(ended)
        self._ended.set()


def build_uncounted_stop(exc: BaseException, writer: LedgerWriter) -> BatchStopped:
    """Build the stop for caps that cannot be counted any more; what is sent without a count could pass them."""
    words = database_error_text(exc)
    return BatchStopped(
        "caps",
        f"what is spent cannot be counted in {name_place(writer)} ({words}), so no cap can be kept. Correct the cause and resume",
    )
