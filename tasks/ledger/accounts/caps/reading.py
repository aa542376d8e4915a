"""Each cap with what is spent, reserved and free in its present period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from tasks.core.caps.cap import CapSettings, Payer
from tasks.core.caps.periods import Period
from tasks.core.database import read_now_us
from tasks.core.errors import InputError
from tasks.core.money import to_usd
from tasks.core.safe_text import database_error_text
from tasks.ledger.accounts.caps.book import Amount, Book, begin_exclusively
from tasks.ledger.accounts.caps.schema import PENDING, charges
from tasks.ledger.accounts.place import name_place
from tasks.ledger.database.writer import LedgerWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class CapState:
    """A cap in its present period."""

    cap: CapSettings
    period: Period
    counted: Amount
    """All that counts: spent and reserved."""
    reserved: Amount
    """In flight, or ended at a cost that nobody knows: each at the most that it can be."""

    @property
    def left(self) -> int:
        """The amount that may still be spent or made: millionths of a dollar, or images. Never negative."""
        if self.cap.images is not None:
            return max(0, self.cap.images - self.counted.images)
        return max(0, (self.cap.most_micros or 0) - self.counted.micros)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for programs; amounts are dollars or images, as the cap's unit says."""
        counted, reserved = self._pick(self.counted), self._pick(self.reserved)
        return {
            **self.cap.model_dump(),
            "unit": "usd" if self.cap.images is None else "images",
            "spent": counted - reserved if self.cap.images is not None else round(counted - reserved, 6),
            "reserved": reserved,
            "free": self.left if self.cap.images is not None else to_usd(self.left),
            "from": self.period.start.isoformat(),
            "frees_at": self.period.end.isoformat(),
        }

    def _pick(self, amount: Amount) -> float:
        return amount.images if self.cap.images is not None else amount.micros / 1_000_000


async def read_caps(writer: LedgerWriter, caps: Sequence[CapSettings], *, now_us: int) -> list[CapState]:
    """The state of each cap.

    Args:
        writer: The place that counts.
        caps: The configuration's.
        now_us: The time by this machine's clock, where no server has one.

    Raises:
        InputError: It cannot be read.
    """
    if not caps:
        return []
    with explain_unreadable(writer):
        return await writer.write(partial(_read, caps=caps, now_us=now_us))


@contextmanager
def explain_unreadable(writer: LedgerWriter) -> Iterator[None]:
    """Raise InputError for counts that are there and cannot be read: damaged, or in another version's tables."""
    try:
        yield
    except (DBAPIError, OSError) as exc:
        words = database_error_text(exc)
        raise InputError(
            f"{name_place(writer)}: what is spent cannot be read ({words}). It is damaged, or another version of imagen "
            "wrote it. Once it is moved away, caps count from nothing"
        ) from None


def _read(db: Connection, caps: Sequence[CapSettings], now_us: int) -> list[CapState]:
    # Exclusively, because a period that nobody has asked for yet gets its sum here.
    begin_exclusively(db)
    at_us = read_now_us(db, now_us)
    book = Book(db, [cap.scope for cap in caps])
    first_us = min(cap.scope.find_period(at_us).start_us for cap in caps)
    reserved = select(charges).where(charges.c.state.in_(PENDING) & (charges.c.at_us >= first_us))
    pending = [dict(row) for row in db.execute(reserved).mappings()]
    return [_build_state(cap, book, at_us, pending) for cap in caps]


def _build_state(cap: CapSettings, book: Book, at_us: int, pending: Sequence[dict[str, Any]]) -> CapState:
    period, reserved = cap.scope.find_period(at_us), Amount()
    for row in pending:
        payer = Payer(row["caller"], row["backend"], row["model"])
        if period.start_us <= row["at_us"] < period.end_us and cap.scope.covers(payer):
            reserved.add(row["micros"], row["images"])
    return CapState(cap=cap, period=period, counted=book.read(cap.scope, at_us), reserved=reserved)
