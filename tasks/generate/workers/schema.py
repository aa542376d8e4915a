"""The tables that workers share, beside those of the ledger.

None is a record of truth: a run that begins fills them from the ledger. Times are seconds since 1970 by the database's
clock, the only one that all workers share. Money is in millionths of a dollar.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ColumnElement, Double, Integer, MetaData, Table, Text, extract, func

metadata = MetaData()

ONLY_ROW = 1

fleet = Table(
    "fleet",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("run", Integer, nullable=False),
    Column("cap_micros", BigInteger),
    Column("committed_micros", BigInteger, nullable=False, default=0),
    # One letter for each of the last jobs; `heartbeat` appends and cuts it in one statement.
    Column("recent", Text, nullable=False, default=""),
    Column("succeeded", BigInteger, nullable=False, default=0),
    Column("failed", BigInteger, nullable=False, default=0),
    Column("cost_micros", BigInteger, nullable=False, default=0),
    Column("cost_unknown", BigInteger, nullable=False, default=0),
    Column("stop_reason", Text),
    Column("stop_message", Text),
)
"""One row: the batch's present run, its money, the ends of its last jobs, and its reason to stop."""

news = Table(
    "fleet_news",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("number", Integer, nullable=False),
)
"""The last news of each worker that is counted: an answer that was lost on its way counts nothing twice."""

reservations = Table(
    "fleet_reservations",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    # The worker whose lease on the job keeps the money reserved.
    Column("owner", Text, nullable=False),
    Column("micros", BigInteger, nullable=False),
)
"""Money reserved for attempts whose cost is not known yet."""


def get_now_s() -> ColumnElement[float]:
    """The database's clock now, not at the start of the transaction."""
    # `now()` stands still in a transaction, and a turn would be taken too early.
    return extract("epoch", func.clock_timestamp()).cast(Double)
