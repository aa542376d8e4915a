"""Charges of attempts, written in groups: each transaction reserves for some, and settles others.

A charge is replaced, never added to: the row says what is counted for its attempt, so a group that is written twice, or an
end that a killed run had written already, changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select

from tasks.core.caps.cap import CapSettings, Payer, Scope
from tasks.core.database import build_insert, read_now_us
from tasks.core.memory import split_chunks
from tasks.ledger.accounts.caps.book import Amount, Book, begin_exclusively
from tasks.ledger.accounts.caps.schema import OPEN, SETTLED, UNKNOWN, charges

Key = tuple[str, int]
"""Of an attempt within its batch: job_id and number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """An attempt that is about to be paid for, at its most."""

    key: Key
    payer: Payer
    micros: int
    images: int = 1
    """0 for a call that makes none, as a judge's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """An attempt of an earlier run that is in flight again; what is counted for it stays."""

    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """An attempt that has ended."""

    key: Key
    payer: Payer
    cost_micros: int | None
    """None: nobody knows, so what is counted for it stays."""
    images: int
    most_micros: int | None
    """Counted where the cost is not known and nothing is counted yet; None: an earlier run's, whose end may be known."""
    most_images: int = 1
    """Counted there with it."""
    owner: str | None = None
    """Only where this process made the charge; None: whoever made it."""


Entry = Charge | TakenOver | Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A cap that does not allow a charge."""

    cap: CapSettings
    left: int
    """Millionths of a dollar, or images."""
    wanted: int
    """The same of the attempt."""
    frees_at_us: int

    @property
    def never_frees(self) -> bool:
        """True where not even a new period has room for the attempt."""
        return self.wanted > ((self.cap.most_micros or 0) if self.cap.images is None else self.cap.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charger:
    """The writer of charges: the batch, the process and the caps that it keeps to."""

    batch: str
    owner: str
    caps: Sequence[CapSettings]
    now_us: Callable[[], int]


def write_entries(db: Connection, entries: Sequence[Entry], charger: Charger) -> Mapping[Key, Refusal]:
    """Write a group in one transaction.

    Returns:
        The charges that a cap refused, by their key. Nothing is counted for them.
    """
    begin_exclusively(db)
    at_us = read_now_us(db, charger.now_us())
    book = Book(db, [cap.scope for cap in charger.caps])
    writing = _Writing(db, charger, book, at_us, _fetch_charges(db, charger.batch, [entry.key for entry in entries]))
    refused: dict[Key, Refusal] = {}
    # Ends first: what comes back in this group may be the money that its charges need.
    for entry in sorted(entries, key=lambda entry: isinstance(entry, Charge)):
        if isinstance(entry, Charge):
            if (refusal := writing.reserve(entry)) is not None:
                refused[entry.key] = refusal
        elif isinstance(entry, Settlement):
            writing.settle(entry)
        else:
            writing.take_over(entry)
    writing.finish()
    return refused


class _Writing:
    """The rows of one transaction: as they were, and as they will be."""

    def __init__(self, db: Connection, charger: Charger, book: Book, at_us: int, rows: dict[Key, Row[Any]]) -> None:
        self._db = db
        self._charger = charger
        self._caps = [(cap, cap.scope) for cap in charger.caps]
        self._book = book
        self._at_us = at_us
        self._rows: dict[Key, dict[str, Any]] = {key: dict(row._mapping) for key, row in rows.items()}  # noqa: SLF001  its public name
        self._changed: dict[Key, None] = {}

    def reserve(self, charge: Charge) -> Refusal | None:
        row = self._rows.get(charge.key)
        # The commit's answer was lost, and the group is written again: it is counted already.
        if row is not None and (row["state"], row["owner"]) == (OPEN, self._charger.owner):
            return None
        # Numbers of attempts that never left are used again; the earlier one counts nothing any more.
        self._count(charge.key, None)
        covering = [(cap, scope) for cap, scope in self._caps if scope.covers(charge.payer)]
        found = [self._find_refusal(cap, scope, charge) for cap, scope in covering]
        if refusals := [refusal for refusal in found if refusal is not None]:
            # Of a day and a month that are both full it is the month that has to be waited for.
            return max(refusals, key=lambda refusal: (refusal.never_frees, refusal.frees_at_us))
        self._count(charge.key, self._build_row(charge.key, charge.payer, OPEN, Amount(charge.micros, charge.images)))
        return None

    def settle(self, end: Settlement) -> None:
        row = self._rows.get(end.key)
        if end.owner is not None and (row is None or row["owner"] != end.owner):
            return
        if end.cost_micros is None:
            if row is not None:
                self._count(end.key, {**row, "state": SETTLED if row["state"] == SETTLED else UNKNOWN})
            elif end.most_micros is not None:
                self._count(
                    end.key, self._build_row(end.key, end.payer, UNKNOWN, Amount(end.most_micros, end.most_images))
                )
            return
        amount = Amount(end.cost_micros, end.images)
        fresh = self._build_row(end.key, end.payer, SETTLED, amount)
        kept = {} if row is None else {name: row[name] for name in ("caller", "backend", "model", "at_us")}
        # What cost nothing and made nothing needs no row: none counts the same.
        self._count(end.key, {**fresh, **kept} if amount.micros or amount.images else None)

    def take_over(self, entry: TakenOver) -> None:
        row = self._rows.get(entry.key)
        if row is not None and row["state"] != SETTLED:
            self._count(entry.key, {**row, "state": OPEN, "owner": self._charger.owner})

    def finish(self) -> None:
        """Write rows and sums."""
        gone = [key for key in self._changed if key not in self._rows]
        kept = [self._rows[key] for key in self._changed if key in self._rows]
        if gone:
            self._db.execute(
                _DELETE_CHARGE,
                [{"a_batch": self._charger.batch, "a_job_id": job_id, "a_number": number} for job_id, number in gone],
            )
        if kept:
            self._db.execute(_build_replacement(self._db.dialect.name), kept)
        self._book.write()

    def _find_refusal(self, cap: CapSettings, scope: Scope, charge: Charge) -> Refusal | None:
        counted = self._book.read(scope, self._at_us)
        if cap.images is not None:
            left, wanted = cap.images - counted.images, charge.images
        else:
            left, wanted = (cap.most_micros or 0) - counted.micros, charge.micros
        # What takes nothing of a full cap passes it: a free image one on money, a judge's call one on images.
        if wanted <= left or not wanted:
            return None
        return Refusal(cap=cap, left=max(0, left), wanted=wanted, frees_at_us=scope.find_period(self._at_us).end_us)

    def _count(self, key: Key, row: dict[str, Any] | None) -> None:
        """Put a row in the place of what is counted for an attempt."""
        if (before := self._rows.pop(key, None)) is not None:
            self._book.add(_get_payer(before), before["at_us"], micros=-before["micros"], images=-before["images"])
        if row is not None:
            self._rows[key] = row
            self._book.add(_get_payer(row), row["at_us"], micros=row["micros"], images=row["images"])
        if before != row:
            self._changed[key] = None

    def _build_row(self, key: Key, payer: Payer, state: str, amount: Amount) -> dict[str, Any]:
        return {
            "batch": self._charger.batch,
            "job_id": key[0],
            "number": key[1],
            "owner": self._charger.owner,
            "state": state,
            "caller": payer.caller,
            "backend": payer.backend,
            "model": payer.model,
            "micros": amount.micros,
            "images": amount.images,
            "at_us": self._at_us,
        }


def _get_payer(row: dict[str, Any]) -> Payer:
    return Payer(row["caller"], row["backend"], row["model"])


def _fetch_charges(db: Connection, batch: str, keys: Sequence[Key]) -> dict[Key, Row[Any]]:
    found: dict[Key, Row[Any]] = {}
    for chunk in split_chunks(dict.fromkeys(job_id for job_id, _ in keys)):
        for row in db.execute(_SELECT_CHARGES, {"a_batch": batch, "the_jobs": chunk}):
            found[row.job_id, row.number] = row
    return found


# Built once, as the statements of `book`.
@cache
def _build_replacement(dialect: str) -> Any:
    insert = build_insert(dialect, charges)
    fresh = {column.name: insert.excluded[column.name] for column in charges.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(charges.primary_key), set_=fresh)


# By job alone: for a list of pairs SQLite would read all rows of the batch, and a job has few attempts.
_SELECT_CHARGES = select(charges).where(
    (charges.c.batch == bindparam("a_batch")) & charges.c.job_id.in_(bindparam("the_jobs", expanding=True))
)
_DELETE_CHARGE = delete(charges).where(
    (charges.c.batch == bindparam("a_batch"))
    & (charges.c.job_id == bindparam("a_job_id"))
    & (charges.c.number == bindparam("a_number"))
)
