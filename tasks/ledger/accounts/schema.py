"""Tables that all batches of an account share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

SCHEMA = "imagen_accounts"
"""Name of the tables' schema in PostgreSQL; in SQLite they have none."""

metadata = MetaData(schema=SCHEMA)

predictions = Table(
    "predictions",
    metadata,
    Column("account", Text, primary_key=True),
    Column("prediction_id", Text, primary_key=True),
    Column("batch", String(32), nullable=False),
    Column("job_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("claimed_at_us", BigInteger, nullable=False),
    Index("predictions_claimed_at", "claimed_at_us"),
    Index("predictions_attempt", "batch", "job_id", "number"),
)
