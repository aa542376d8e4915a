"""One usage row: what the usage table learns of an attempt. The prompt itself is not among it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import RowMapping

from tasks.core.clock import to_instant
from tasks.core.errors import UsageError
from tasks.core.identity import hash_prompt
from tasks.core.money import MOST_USD, to_micros, to_usd
from tasks.core.records import JobState
from tasks.core.safe_text import error_text
from tasks.ledger.usage import FIRST_CALL
from tasks.usage.caller import UNKNOWN

COLUMNS = (
    "id",
    "created_at",
    "backend",
    "model",
    "seed",
    "prompt_hash",
    "latency_ms",
    "cost_usd_estimate",
    "caller",
    "status",
    "batch",
    "deployment",
)
"""Of `mai.imagen_usage`, in order."""


JUDGED = "judge_"
ANSWERED = f"{JUDGED}{JobState.SUCCEEDED.value}"
"""Status of a judge's call that was answered: it is no image, and has not failed."""
"""Before the state of a call that asked about an image: such a row is on the bill and is no image."""
LONGEST_FOLDER, IDENTITY_DIGITS = 100, 8
"""Characters of a batch's name: of its folder, and of its identity."""

MOST_LATENCY_MS = 2**63 - 1
"""What the column holds."""
FIRST_YEAR, LAST_YEAR = 1970, 9999
LONGEST_REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """A row of `mai.imagen_usage`."""

    id: str
    """UUID derived from job and attempt: pushing a row twice adds nothing."""
    created_at_us: int
    """When the attempt ended, microseconds since 1970 UTC."""
    backend: str
    model: str
    seed: int | None
    """0..2^63-1, as a manifest may have it: what a bigint holds. None in rows of other programs only."""
    prompt_hash: str
    """sha256 of the user's prompt, 64 hex digits."""
    latency_ms: int | None
    cost_micros: int | None
    """Millionths of a dollar; None when it is not known."""
    caller: str
    status: str = JobState.SUCCEEDED.value
    """`succeeded`; `failed` or `held`, where an attempt without an image was billed or may have been; the same after
    `judge_` for a call that asked about an image."""
    batch: str = ""
    """The output folder's name and the first digits of the batch's identity; empty in rows of older versions."""

    deployment: str = ""
    """Name of the Prefect deployment that started the run; empty where a person did, and in rows of older versions."""

    @property
    def has_image(self) -> bool:
        """True if the attempt ended with an image."""
        return self.status == JobState.SUCCEEDED

    @property
    def has_failed(self) -> bool:
        """True if the attempt gave nothing, though it was billed or may have been."""
        return self.status not in {JobState.SUCCEEDED, ANSWERED}

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON has it: the table's columns, the instant in ISO form with microseconds."""
        renamed = {
            "created_at": to_instant(self.created_at_us).isoformat(timespec="microseconds"),
            "cost_usd_estimate": to_usd(self.cost_micros),
        }
        return {name: renamed[name] if name in renamed else getattr(self, name) for name in COLUMNS}


class _TableRow(BaseModel):
    """A row as a table gives it: somebody else may have written it, or another program made the table."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    id: str
    created_at: datetime
    backend: str
    model: str
    seed: int | None
    prompt_hash: str
    latency_ms: int | None = Field(ge=0, le=MOST_LATENCY_MS)
    cost_usd_estimate: float | None = Field(ge=-MOST_USD, le=MOST_USD)
    caller: str
    # A table of an older version has no such columns.
    status: str = JobState.SUCCEEDED.value
    batch: str = ""
    deployment: str = ""

    @field_validator("created_at")
    @classmethod
    def _place(cls, moment: datetime) -> datetime:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if not FIRST_YEAR <= aware.year < LAST_YEAR:  # days of any time zone have to be counted from it
            raise ValueError("is not of this time")
        return aware


def parse_row(record: Mapping[str, Any]) -> UsageRow:
    """The row from the table's columns, the instant as one or in ISO form.

    Raises:
        UsageError: It holds what no run writes; the text names the row and the column.
    """
    try:
        row = _TableRow.model_validate(dict(record))
    except ValidationError as exc:
        first = exc.errors()[0]
        place = f"{record.get('id', '?')}: {'.'.join(map(str, first['loc']))}"
        reason = error_text(f"{place}: {first['msg']}", most_chars=LONGEST_REASON)
        raise UsageError(f"a row of the usage table cannot be read ({reason}); correct it there, or delete it") from exc
    values = row.model_dump(exclude={"created_at", "cost_usd_estimate"})
    return UsageRow(
        **values,
        created_at_us=round(row.created_at.timestamp() * 1e6),
        cost_micros=to_micros(row.cost_usd_estimate),
    )


def build_usage_id(job_id: str, attempt: int, started_at_us: int) -> str:
    """The row's id: the first 128 bits of a hash over job and attempt, spelled as a UUID.

    A job is its content, and the same one in two output folders is paid twice: when the attempt began tells
    the two apart.
    """
    return str(UUID(bytes=hashlib.sha256(f"{job_id}:{attempt}:{started_at_us}".encode()).digest()[:16]))


def build_usage_row(attempt: RowMapping, *, batch: str, models: Mapping[str, str]) -> UsageRow:
    """The usage row of an ended attempt.

    Args:
        attempt: As `tasks.ledger.usage.read_usage_pages` gives it.
        batch: The batch's name.
        models: Models by backend instance, for attempts of a job that another instance has taken over since.
    """
    is_rerouted = attempt["backend"] != attempt["job_backend"]
    return UsageRow(
        id=build_usage_id(attempt["job_id"], attempt["number"], attempt["started_at_us"]),
        created_at_us=attempt["ended_at_us"],
        backend=attempt["backend"],
        model=models.get(attempt["backend"], "") if is_rerouted else attempt["model"],
        seed=attempt["seed"],
        prompt_hash=hash_prompt(attempt["prompt"]),
        latency_ms=attempt["latency_ms"],
        cost_micros=attempt["cost_micros"],
        # An attempt of an older version names no caller; the column must not be empty.
        caller=attempt["caller"] or UNKNOWN,
        status=f"{JUDGED}{attempt['state']}" if attempt["number"] >= FIRST_CALL else attempt["state"],
        batch=batch,
        deployment=attempt["deployment"] or "",
    )


def build_batch_name(out: object, identity: str) -> str:
    """A batch's name in the table: for people the folder's, and enough of its identity to tell two of one name apart."""
    text = str(out)
    # A URL has no folder to resolve.
    name = text.rstrip("/").rpartition("/")[2] if "://" in text else Path(text).resolve().name
    return f"{name[:LONGEST_FOLDER]}-{identity[:IDENTITY_DIGITS]}"


def get_identity_digits(batch: str) -> str:
    """The digits of the identity in a batch's name; the whole name where another program wrote it."""
    digits = batch.rpartition("-")[2]
    return digits if len(digits) == IDENTITY_DIGITS else batch
