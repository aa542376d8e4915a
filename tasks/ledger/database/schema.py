"""The ledger's tables.

Instants are microseconds since 1970 UTC, money is millionths of a dollar: integers that SQLite and PostgreSQL
keep exactly.
"""

from __future__ import annotations

from typing import Literal, get_args

from sqlalchemy import DDL, BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, event

SCHEMA_VERSION = 11
"""`tasks.ledger.database.migrations` brings older ledgers up to it."""
VerdictName = Literal["pick", "reject"]
VERDICTS: tuple[VerdictName, ...] = get_args(VerdictName)
MOST_RATING = 5
AnswerName = Literal["first", "second", "tie", "skip"]
ANSWERS: tuple[AnswerName, ...] = get_args(AnswerName)

# Plain SQL that every database takes: SQLAlchemy's partial indexes load each dialect, 30 ms of every command.
CLAIMED_INDEX = "CREATE INDEX jobs_claimed_by ON jobs (claimed_by) WHERE claimed_by IS NOT NULL"
PREDICTION_INDEXES = tuple(
    f"CREATE INDEX {table}_prediction_id ON {table} (prediction_id) WHERE prediction_id IS NOT NULL"
    for table in ("jobs", "attempts")
)

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),  # sort key: `jobs.SERIES_WIDTH` for each salt
    Column("planned_run", Integer, nullable=False),  # the last run that planned or selected it
    Column("withdrawn", Boolean, nullable=False, default=False),
    Column("salt", Text, nullable=False),
    Column("earlier", Integer, nullable=False),  # number of equal rows before it in the manifest
    Column("id", Text),
    Column("line", BigInteger, nullable=False),
    Column("sample", Integer, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("negative_prompt", Text),
    Column("backend", Text, nullable=False),
    Column("backend_type", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("requested_width", Integer),
    Column("requested_height", Integer),
    Column("aspect_ratio", Text),
    Column("steps", Integer),
    Column("seed", BigInteger, nullable=False),  # as sent; derived where the row has none
    Column("requested_format", Text, nullable=False),
    Column("backend_opts", Text, nullable=False),
    Column("extra", Text, nullable=False),
    Column("fallbacks", Text, nullable=False, default="", server_default=""),
    Column("rerouted_from", Text),
    Column("input_image", Text),
    Column("input_image_sha256", String(64)),
    Column("input_mask", Text),
    Column("input_mask_sha256", String(64)),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("error_kind", Text),
    Column("error_message", Text),
    Column("file_name", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("format", Text),
    Column("bytes", BigInteger),
    Column("sha256", String(64)),
    Column("provenance", Text),
    Column("reused_from", Text),  # address of the batch that made the image; NULL: this one did
    Column("prediction_id", Text),
    Column("model_version", Text),
    Column("predict_time_s", Float),
    Column("latency_ms", BigInteger),
    Column("cost_micros", BigInteger),
    Column("cost_source", Text),
    Column("created_at_us", BigInteger, nullable=False),
    Column("completed_at_us", BigInteger),
    Column("claimed_by", Text),
    Column("lease_until_us", BigInteger),
    Index("jobs_position", "position"),
    Index("jobs_state_position", "state", "position"),  # open jobs in manifest order
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("backend", Text, nullable=False),
    Column("prediction_id", Text),
    Column("started_at_us", BigInteger, nullable=False),
    Column("sent_at_us", BigInteger),  # by the service's clock
    Column("submitted_at_us", BigInteger),
    Column("ended_at_us", BigInteger),
    Column("latency_ms", BigInteger),
    Column("predict_time_s", Float),
    Column("reserved_micros", BigInteger),  # the most that it can cost; NULL where no price is known
    Column("cost_micros", BigInteger),
    Column("cost_source", Text),
    Column("submit_retries", Integer, nullable=False, default=0),
    Column("error_kind", Text),
    Column("error_message", Text),
    Column("usage_pushed_at_us", BigInteger),
    Index("attempts_usage", "state", "usage_pushed_at_us"),
)

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("manifest", Text),
    Column("salt", Text),
    Column("budget_micros", BigInteger),
    Column("settings", Text, nullable=False),
    Column("list_prices", Text, nullable=False, default="{}", server_default="{}"),
    Column("caller", Text, nullable=False),
    Column("deployment", Text, nullable=False, default="", server_default=""),  # empty: a person started it
    Column("started_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger),
    Column("outcome", Text),
    # When what stopped it ends by itself, such as a cap's day.
    Column("frees_at_us", BigInteger),
    Column("plan_digest", Text),  # of a plan that was written whole
    Column("table_state", Text),  # what metadata.parquet showed when this run wrote it
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Column("reviewer", Text, primary_key=True),
    Column("verdict", String(8)),
    Column("rating", Integer),
    Column("note", Text),
)
"""One row for each time that somebody judged an image. The last one of a job counts; what stood before stays."""

comparisons = Table(
    "comparisons",
    metadata,
    Column("first_sha256", String(64), primary_key=True),
    Column("second_sha256", String(64), primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Column("reviewer", Text, primary_key=True),
    Column("first_job", String(64), nullable=False),
    Column("second_job", String(64), nullable=False),
    Column("answer", String(8)),
)
"""One row for each time that somebody compared two images blindly; the second one may be of another batch.

The last one of a reviewer counts, and NULL takes it back. Named by the files: an image that is made again is compared again.
"""

scores = Table(
    "scores",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("sha256", String(64), primary_key=True),  # of the file: an image that is made again is scored again
    Column("name", String(64), primary_key=True),
    Column("results", Text, nullable=False),  # a JSON object: one score may give several values
    Column("at_us", BigInteger, nullable=False),
)
"""One row for each score of each image file."""

batch_identity = Table("batch_identity", metadata, Column("batch", String(32), primary_key=True))
"""One row: a name of the batch that no other one has. It stays when the folder is renamed or moved."""

for _statement in (CLAIMED_INDEX, *PREDICTION_INDEXES):
    _table = attempts if " ON attempts " in _statement else jobs
    event.listen(_table, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it without types
