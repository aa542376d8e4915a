"""How the jobs of one range stand."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import update

from tasks.core.records import JobState
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import execute
from tasks.ledger.shard_counts import count_shard
from tests.support.factories import make_job, plan_jobs


async def test_only_the_range_is_counted(out: Path) -> None:
    """By state and error kind, with one message; jobs of other ranges and other runs stay out."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, map(make_job, range(6)))
        ends: dict[int, dict[str, object]] = {
            0: {"state": JobState.SUCCEEDED},
            1: {"state": JobState.FAILED, "error_kind": "moderation", "error_message": "flagged\nas sensitive"},
            2: {"state": JobState.HELD},
            3: {"state": JobState.SUBMITTED},
            5: {"state": JobState.FAILED, "error_kind": "invalid", "error_message": "elsewhere"},
        }
        for number, values in ends.items():
            await execute(engine, update(jobs).where(jobs.c.id == make_job(number).id).values(**values))
        positions = [make_job(number).position for number in (0, 4)]
        counts = await count_shard(engine, *positions)
        assert (counts.succeeded, counts.left_open, counts.errors) == (1, 2, {"moderation": 1, "held": 1})
        assert counts.example is not None
        assert ("flagged" in counts.example, "\n" in counts.example) == (True, False)
        assert (await count_shard(engine, *positions, planned_run=7)).succeeded == 0
