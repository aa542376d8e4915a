"""Calls of judges in the ledger: attempts of the image's job, numbered from `FIRST_CALL`, so that every sum has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.core.database import build_insert
from tasks.core.errors import JobError
from tasks.core.memory import split_chunks
from tasks.core.records import JobState
from tasks.core.safe_text import sanitize_text
from tasks.ledger.changes import sum_attempt_costs
from tasks.ledger.database.schema import attempts, jobs, scores
from tasks.ledger.database.transactions import execute, fetch_mappings, run_transaction
from tasks.ledger.scores import Value
from tasks.ledger.usage import FIRST_CALL


async def read_calls(engine: AsyncEngine, job_ids: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """The calls about each job's images, in their order."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for chunk in split_chunks(job_ids):
        mine = attempts.c.job_id.in_(chunk) & (attempts.c.number >= FIRST_CALL)
        for row in await fetch_mappings(engine, select(attempts).where(mine).order_by(attempts.c.number)):
            found.setdefault(row["job_id"], []).append(dict(row))
    return found


async def begin_call(
    engine: AsyncEngine, key: tuple[str, int], *, judge: str, name: str, reserved_micros: int | None, now_us: int
) -> None:
    """Write that a call is about to be paid for; on disk on return. `name` is our own one of the call."""
    job_id, number = key
    row = {
        "job_id": job_id,
        "number": number,
        "state": JobState.SUBMITTING,
        "backend": judge,
        "prediction_id": name,
        "started_at_us": now_us,
        "reserved_micros": reserved_micros,
        "submit_retries": 0,
    }
    await execute(engine, insert(attempts), [row])


async def end_call(
    engine: AsyncEngine,
    key: tuple[str, int],
    *,
    started_us: int,
    now_us: int,
    cost_micros: int | None,
    outcome: JobError | Mapping[str, Any],
    state: JobState,
) -> None:
    """Write a call's end, with the results of the score where there are any, in one transaction.

    Args:
        engine: The ledger.
        key: The job and the call's number.
        started_us: Its beginning, microseconds since 1970 UTC.
        now_us: Now.
        cost_micros: None: it is not known, and counts as what was reserved.
        outcome: The reason for no answer; or the row of `scores`, its results by their names.
        state: `SUCCEEDED`, `FAILED` or `HELD`.
    """
    error = outcome if isinstance(outcome, JobError) else None
    end = {
        "state": state,
        "ended_at_us": now_us,
        "latency_ms": max(0, (now_us - started_us) // 1_000),
        "cost_micros": cost_micros,
        "cost_source": None if error or cost_micros is None else "priced",
        "error_kind": error and error.error_kind,
        "error_message": error and sanitize_text(str(error)),
    }
    result = None if isinstance(outcome, JobError) else {**outcome, "job_id": key[0], "at_us": now_us}
    await run_transaction(engine, partial(_write_end, key=key, end=end, result=result))


async def _write_end(
    db: AsyncConnection, *, key: tuple[str, int], end: dict[str, Any], result: dict[str, Any] | None
) -> None:
    job_id, number = key
    await db.execute(update(attempts).where(attempts.c.job_id == job_id, attempts.c.number == number).values(end))
    # The table's cost of an image is that of all its attempts.
    await db.execute(update(jobs).where(jobs.c.job_id == job_id).values(cost_micros=sum_attempt_costs()))
    if result is not None:
        await db.execute(_build_upsert(db.dialect.name), [result])


def build_result(sha256: str, name: str, results: Mapping[str, Value]) -> dict[str, Any]:
    """The row of `scores` for an answer about a file."""
    return {"sha256": sha256, "name": name, "results": json.dumps(dict(results), ensure_ascii=False, allow_nan=False)}


def _build_upsert(dialect: str) -> Any:
    statement = build_insert(dialect, scores)
    return statement.on_conflict_do_update(
        index_elements=[scores.c.job_id, scores.c.sha256, scores.c.name],
        set_={"results": statement.excluded.results, "at_us": statement.excluded.at_us},
    )
