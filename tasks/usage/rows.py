"""One usage row: what the usage table learns of a picture. The prompt itself is not among it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping

from tasks.identity import prompt_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """A row of `mai.imagen_usage`."""

    id: str
    """UUID derived from job and attempt: pushing a row twice adds nothing."""
    created_at_us: int
    """When the picture was done, microseconds since 1970 UTC."""
    backend: str
    model: str
    seed: int
    prompt_hash: str
    """sha256 of the user's prompt, 64 hex digits."""
    latency_ms: int | None
    cost_micros: int | None
    """Millionths of a dollar; None when it is not known."""
    caller: str


def usage_id(job_id: str, attempt: int) -> str:
    """The row's id: the first 128 bits of a hash over job and attempt, spelled as a UUID."""
    return str(UUID(bytes=hashlib.sha256(f"{job_id}:{attempt}".encode()).digest()[:16]))


def usage_row(attempt: RowMapping, caller: str) -> UsageRow:
    """The usage row of a successful attempt as `tasks.ledger.queries.usage_pages` gives it."""
    return UsageRow(
        id=usage_id(attempt["job_id"], attempt["number"]),
        created_at_us=attempt["ended_at_us"],
        backend=attempt["backend"],
        model=attempt["model"],
        seed=attempt["seed"],
        prompt_hash=prompt_hash(attempt["prompt"]),
        latency_ms=attempt["latency_ms"],
        cost_micros=attempt["cost_micros"],
        caller=caller,
    )
