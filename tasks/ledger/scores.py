"""Scores of images: numbers and short texts that `imagen score` found in the files.

A score belongs to a file, not to a job: an image that is made again has another digest and no score yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.database import build_insert
from tasks.core.memory import split_chunks
from tasks.ledger.database.schema import jobs, scores
from tasks.ledger.database.transactions import execute, fetch_rows

Value = bool | int | float | str
"""One result of a score, as JSON has it."""

KEPT, KEPT_WHY = "kept", "kept_why"
"""Score of the gates: true, or false for an image that is left out of exports; and the reason."""

# For each row alone, by the primary key: a join would add up the whole table for every page of jobs.
SCORES = (
    select(func.aggregate_strings(scores.c.results, ","))
    .where((scores.c.job_id == jobs.c.job_id) & (scores.c.sha256 == jobs.c.sha256))
    .scalar_subquery()
    .label("scores")
)
"""Column of `jobs`: the results of its file, JSON objects with commas between them; null where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """Results of one score for one image file."""

    job_id: str
    sha256: str
    """Of the file that was looked at."""
    name: str
    results: Mapping[str, Value]


def parse_results(joined: str | None) -> dict[str, Value]:
    """All results of a file, as `SCORES` gives them, in the order of their names."""
    found: dict[str, Value] = {}
    for part in json.loads(f"[{joined or ''}]"):
        found |= part
    # The database adds them up in any order, and two tables of one batch should be equal.
    return dict(sorted(found.items()))


def merge_results(joined: str | None) -> str | None:
    """The same as one JSON object, without `kept`, which has a column; None where the file has no score."""
    if not joined:  # most images have no score, and no JSON is read for them
        return None
    found = parse_results(joined)
    found.pop(KEPT, None)
    return json.dumps(found, ensure_ascii=False) if found else None


def parse_kept(joined: str | None) -> bool | None:
    """The gates' decision on a file: kept or left out; None where there was none."""
    # Most batches have no gates, and no JSON is read for them.
    found = parse_results(joined).get(KEPT) if joined and f'"{KEPT}"' in joined else None
    return found if isinstance(found, bool) else None


async def record_scores(engine: AsyncEngine, found: Sequence[ScoreRow], *, now_us: int) -> None:
    """Write results; they are on disk when this returns. An earlier score of the same file and name is replaced."""
    if not found:
        return
    insert = build_insert(engine.dialect.name, scores)
    # An upsert, because two processes may score one batch at the same time.
    statement = insert.on_conflict_do_update(
        index_elements=[scores.c.job_id, scores.c.sha256, scores.c.name],
        set_={"results": insert.excluded.results, "at_us": insert.excluded.at_us},
    )
    rows = [
        {
            "job_id": row.job_id,
            "sha256": row.sha256,
            "name": row.name,
            "results": json.dumps(dict(row.results), ensure_ascii=False, allow_nan=False),
            "at_us": now_us,
        }
        for row in found
    ]
    await execute(engine, statement, rows)


async def forget_kept(engine: AsyncEngine) -> None:
    """Take every decision of gates back: all images count again."""
    await execute(engine, delete(scores).where(scores.c.name == KEPT))


async def count_not_kept(engine: AsyncEngine) -> int:
    """Images of the table that gates left out."""
    file = (scores.c.job_id == jobs.c.job_id) & (scores.c.sha256 == jobs.c.sha256) & (scores.c.name == KEPT)
    # Written by `record_scores` alone, so the spelling is known, and no dialect's JSON functions are needed.
    left_out = jobs.c.withdrawn.is_(False) & scores.c.results.like(f'%"{KEPT}": false%')
    query = select(func.count()).select_from(jobs.join(scores, file)).where(left_out)
    [(found,)] = await fetch_rows(engine, query)
    return int(found)


async def find_scored(engine: AsyncEngine, job_ids: Sequence[str]) -> set[tuple[str, str, str]]:
    """Keys (job_id, sha256, name) of the scores that these jobs have already."""
    found: set[tuple[str, str, str]] = set()
    for chunk in split_chunks(job_ids):
        mine = scores.c.job_id.in_(chunk)
        rows = await fetch_rows(engine, select(scores.c.job_id, scores.c.sha256, scores.c.name).where(mine))
        found.update((row.job_id, row.sha256, row.name) for row in rows)
    return found
