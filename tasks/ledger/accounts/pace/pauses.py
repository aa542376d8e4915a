"""The pauses that a service has asked for, heard by every batch on the account.

A pause ends at its instant and nothing prolongs it but the service's next word, so nobody waits for another batch.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from tasks.core.database import build_insert
from tasks.ledger.accounts.caps.book import begin_exclusively
from tasks.ledger.accounts.pace.clock import read_clock_s
from tasks.ledger.accounts.pace.schema import paces, pauses


def tell_pause(db: Connection, account: str, *, pause_s: float, now_s: float) -> None:
    """Tell every batch on the account to create nothing for so many seconds.

    Args:
        db: The place that all share.
        account: A service's address and the hash of its key.
        pause_s: As the service stated it.
        now_s: By the machine's clock, where no server has one.
    """
    begin_exclusively(db)
    until_s = read_clock_s(db, now_s) + pause_s
    note_pause(db, account, until_s)
    # Batches whose configuration has a limit for the account keep a common pace, which waits too.
    later = (paces.c.account == account) & (paces.c.next_at_s < until_s)
    db.execute(update(paces).where(later).values(next_at_s=until_s))


def note_pause(db: Connection, account: str, until_s: float) -> None:
    """Note a pause until an instant of the shared clock."""
    row = {"account": account, "until_s": until_s}
    insert = build_insert(db.dialect.name, pauses).values(row)
    # The last word counts: one that was noted before the machine was started anew is of another clock.
    db.execute(insert.on_conflict_do_update(index_elements=["account"], set_=row))


def read_pause_s(db: Connection, account: str, *, now_s: float) -> float:
    """Seconds until the account's pause ends; negative or 0 without one."""
    until_s = db.execute(select(pauses.c.until_s).where(pauses.c.account == account)).scalar()
    return 0.0 if until_s is None else float(until_s) - read_clock_s(db, now_s)
