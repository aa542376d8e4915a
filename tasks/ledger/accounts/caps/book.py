"""One transaction's changes of what is spent, added up over all scopes and written at its end.

Periods are found by the instant of each charge, so a clock that is set back meets the sums that are there: nothing is
deleted by age, and a day that was full stays full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache, lru_cache
from typing import Any, get_args

from sqlalchemy import Connection, Table, bindparam, delete, select, text, update

from tasks.core.caps.cap import Payer, Scope
from tasks.core.caps.periods import QUARTER_US, Per, check_time_zone
from tasks.core.database import build_insert
from tasks.core.identity import to_canonical_json
from tasks.ledger.accounts.caps.schema import scopes, spending, totals
from tasks.ledger.accounts.predictions import SCHEMA


@dataclass(slots=True)
class Amount:
    """Money and images."""

    micros: int = 0
    images: int = 0

    def add(self, micros: int, images: int) -> None:
        """Add to both."""
        self.micros += micros
        self.images += images


def begin_exclusively(db: Connection) -> None:
    """Keep every other writer of these tables out until the transaction ends.

    One lock for all of them, so that no two transactions wait for each other.
    """
    if db.dialect.name == "sqlite":
        db.execute(text("BEGIN IMMEDIATE"))
    else:
        db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 2))"), {"name": SCHEMA})


class Book:
    """Sums as they are in this transaction; `begin_exclusively` comes first."""

    def __init__(self, db: Connection, own: Sequence[Scope]) -> None:
        """Read the known scopes, and make the caller's `own` known."""
        self._db = db
        self._scopes: set[Scope] = set()
        self._foreign: list[str] = []
        """Names of scopes that another machine or version has, and nobody here can add up."""
        for name, *row in db.execute(_SELECT_SCOPES):
            scope = Scope(*row)
            if _is_known(scope) and _name(scope) == name:
                self._scopes.add(scope)
            else:
                self._foreign.append(name)
        self._totals: dict[tuple[str, int], Amount | None] = {}
        """As the database has them; None where there is no row."""
        self._changes: defaultdict[tuple[str, int], Amount] = defaultdict(Amount)
        self._spent: defaultdict[tuple[int, Payer], Amount] = defaultdict(Amount)
        for scope in set(own) - self._scopes:
            db.execute(build_insert(db.dialect.name, scopes).on_conflict_do_nothing(), [_build_scope_row(scope)])
            self._scopes.add(scope)

    def add(self, payer: Payer, at_us: int, *, micros: int, images: int) -> None:
        """Count so much more (or less) for a payer at an instant."""
        if not micros and not images:
            return
        self._spent[at_us - at_us % QUARTER_US, payer].add(micros, images)
        for scope in self._scopes:
            if scope.covers(payer):
                self._changes[_name(scope), scope.find_period(at_us).start_us].add(micros, images)

    def read(self, scope: Scope, at_us: int) -> Amount:
        """The amounts that are counted in the period of an instant."""
        key = (_name(scope), scope.find_period(at_us).start_us)
        if key not in self._totals:
            self._totals[key] = self._fetch(*key)
        if (stored := self._totals[key]) is None:
            stored = self._totals[key] = self._add_up(scope, at_us)
            row = {"scope": key[0], "from_us": key[1], "micros": stored.micros, "images": stored.images}
            self._db.execute(build_insert(self._db.dialect.name, totals).on_conflict_do_nothing(), [row])
        change = self._changes.get(key, Amount())
        return Amount(stored.micros + change.micros, stored.images + change.images)

    def write(self) -> None:
        """Write every change."""
        rows = [
            {"from_us": from_us, **_get_payer_values(payer), "micros": amount.micros, "images": amount.images}
            for (from_us, payer), amount in self._spent.items()
        ]
        _upsert(self._db, spending, rows)
        changes = [
            {"a_scope": scope, "a_from_us": from_us, "more_micros": amount.micros, "more_images": amount.images}
            for (scope, from_us), amount in self._changes.items()
        ]
        # A period without a row has nobody who asks for it; it is added up when somebody does.
        if changes:
            self._db.execute(_ADD_TO_TOTAL, changes)
        # Their sums lack these changes. Whoever knows the scope adds up what was spent when he asks for it.
        if self._foreign and rows:
            self._db.execute(delete(totals).where(totals.c.scope.in_(self._foreign)))

    def _fetch(self, scope: str, from_us: int) -> Amount | None:
        row = self._db.execute(_SELECT_TOTAL, {"a_scope": scope, "a_from_us": from_us}).one_or_none()
        return None if row is None else Amount(row.micros, row.images)

    def _add_up(self, scope: Scope, at_us: int) -> Amount:
        """Sum what was spent in a period before anybody had a cap for it, without this transaction's changes."""
        period = scope.find_period(at_us)
        within = (spending.c.from_us >= period.start_us) & (spending.c.from_us < period.end_us)
        amount = Amount()
        for row in self._db.execute(select(spending).where(within)):
            if scope.covers(Payer(row.caller, row.backend, row.model)):
                amount.add(row.micros, row.images)
        return amount


def _is_known(scope: Scope) -> bool:
    if scope.per not in get_args(Per):
        return False
    try:
        check_time_zone(scope.timezone)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1_000)
def _name(scope: Scope) -> str:
    return to_canonical_json(astuple(scope))


def _build_scope_row(scope: Scope) -> dict[str, Any]:
    return {
        "scope": _name(scope),
        "per": scope.per,
        "timezone": scope.timezone,
        "caller": scope.caller,
        "model": scope.model,
        "backend": scope.backend,
    }


def _get_payer_values(payer: Payer) -> dict[str, str]:
    return {"caller": payer.caller, "backend": payer.backend, "model": payer.model}


def _upsert(db: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        db.execute(_build_upsert(db.dialect.name, table), rows)


# Statements are built once: to build one takes longer than to run it, and every paid call waits for a few of them.
@cache
def _build_upsert(dialect: str, table: Table) -> Any:
    insert = build_insert(dialect, table)
    more = {name: table.c[name] + insert.excluded[name] for name in ("micros", "images")}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=more)


_SELECT_SCOPES = select(
    scopes.c.scope, scopes.c.per, scopes.c.timezone, scopes.c.caller, scopes.c.model, scopes.c.backend
)
_IS_TOTAL = (totals.c.scope == bindparam("a_scope")) & (totals.c.from_us == bindparam("a_from_us"))
_SELECT_TOTAL = select(totals).where(_IS_TOTAL)
_ADD_TO_TOTAL = (
    update(totals)
    .where(_IS_TOTAL)
    .values(
        micros=totals.c.micros + bindparam("more_micros"),
        images=totals.c.images + bindparam("more_images"),
    )
)
