"""The tables that count money and images over all batches.

`charges` has one row for each attempt: what is counted for it, whether it is in flight, and since when. A missing row counts
nothing. `spending` adds the rows up by quarter of an hour, so that a cap which is new in the configuration knows what was
spent before. `totals` adds them up for each period of each scope that somebody has a cap for.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from tasks.ledger.accounts.predictions import metadata

OPEN, UNKNOWN, SETTLED = "open", "unknown", "settled"
"""States of a charge: in flight, at its most; ended at a cost that nobody knows, at its most; at its cost."""
PENDING = (OPEN, UNKNOWN)
"""All but those at their cost. Named one by one: for all that are *not* settled an index is no help, and millions are."""

charges = Table(
    "charges",
    metadata,
    Column("batch", String(32), primary_key=True),
    Column("job_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("caller", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("images", Integer, nullable=False),
    # The instant that decides on the day and month.
    Column("at_us", BigInteger, nullable=False),
    Index("charges_state", "state", "at_us"),
)

spending = Table(
    "spending",
    metadata,
    Column("from_us", BigInteger, primary_key=True, autoincrement=False),
    Column("caller", Text, primary_key=True),
    Column("backend", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("micros", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
)

scopes = Table(
    "cap_scopes",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("per", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("caller", Text),
    Column("model", Text),
    Column("backend", Text),
)
"""Every scope of a cap that was ever configured: all batches keep its totals, whether they have the cap or not."""

totals = Table(
    "cap_totals",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("from_us", BigInteger, primary_key=True, autoincrement=False),
    Column("micros", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
)

configurations = Table(
    "configurations",
    metadata,
    Column("batch", String(32), primary_key=True),
    Column("path", Text, nullable=False),
)
"""The configuration file of each batch's last run that named one, so that a resume keeps to its caps."""
