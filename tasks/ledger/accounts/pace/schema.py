"""The tables of an account's pace.

Seconds are those of the one clock that all processes share: the server's in PostgreSQL, and in a state folder the machine's
own since its start, which nobody sets.
"""

from __future__ import annotations

from sqlalchemy import Column, Double, Integer, Table, Text

from tasks.ledger.accounts.predictions import metadata

paces = Table(
    "paces",
    metadata,
    Column("account", Text, primary_key=True),
    Column("per_min", Double, nullable=False),
    # The first instant that nobody has taken.
    Column("next_at_s", Double, nullable=False),
    Column("cut_at_s", Double, nullable=False),
    Column("catch_up_s", Double, nullable=False),
    Column("climb_after", Integer, nullable=False),
    # Creates that were accepted since the last 429; after `climb_after` the rate rises.
    Column("since_cut", Integer, nullable=False),
    Column("seen_at_s", Double, nullable=False),
)
"""One row for each account: a service's address and the hash of its key."""

pauses = Table(
    "pauses",
    metadata,
    Column("account", Text, primary_key=True),
    Column("until_s", Double, nullable=False),
)
"""The pause that the service stated last, for each account."""

members = Table(
    "pace_members",
    metadata,
    Column("account", Text, primary_key=True),
    Column("member", Text, primary_key=True),
    Column("most_per_min", Double, nullable=False),
    Column("weight", Double, nullable=False),
    # Turns taken, divided by the weight: whoever has the least is next.
    Column("used", Double, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("wants_until_s", Double, nullable=False),
    Column("in_flight", Integer, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("seen_at_s", Double, nullable=False),
)
"""One row for each process that creates on the account now."""
