"""Scores in the ledger, on both databases."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import update

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tasks.ledger.lookup import find_job
from tasks.ledger.queries import read_job_pages
from tasks.ledger.scores import ScoreRow, find_scored, merge_results, record_scores
from tests.support.factories import START_US, make_job, plan_jobs

JOB = make_job()
OLD, NEW = "a" * 64, "b" * 64


async def test_a_score_belongs_to_the_file(out: Path) -> None:
    """Several scores come as one object in the order of their names; a file that is made again has none yet."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [JOB, make_job(1)])
        async with engine.begin() as db:
            await db.execute(update(jobs).where(jobs.c.job_id == JOB.job_id).values(sha256=OLD))
        rows = [
            ScoreRow(job_id=JOB.job_id, sha256=OLD, name="sharpness", results={"sharpness": 0.1 + 0.2}),
            ScoreRow(job_id=JOB.job_id, sha256=OLD, name="blank", results={"blank": False, "blank_color": "\u2028é"}),
        ]
        await record_scores(engine, rows, now_us=START_US)
        assert await find_scored(engine, [JOB.job_id]) == {(JOB.job_id, OLD, "sharpness"), (JOB.job_id, OLD, "blank")}
        found = [row["scores"] async for page in read_job_pages(engine) for row in page]
        assert json.loads(merge_results(found[0]) or "") == {
            "blank": False,
            "blank_color": "\u2028é",
            "sharpness": 0.1 + 0.2,
        }
        assert list(json.loads(merge_results(found[0]) or "")) == ["blank", "blank_color", "sharpness"]
        assert merge_results(found[1]) is None
        async with engine.begin() as db:
            await db.execute(update(jobs).where(jobs.c.job_id == JOB.job_id).values(sha256=NEW))
        assert (await find_job(engine, out, "row-0"))["scores"] is None


async def test_a_score_that_is_found_again_is_replaced(out: Path) -> None:
    """Two processes may score one file; the last result counts and nothing fails."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, [JOB])
        async with engine.begin() as db:
            await db.execute(update(jobs).values(sha256=OLD))
        for value in (1, 2):
            row = ScoreRow(job_id=JOB.job_id, sha256=OLD, name="clip", results={"clip": value})
            await record_scores(engine, [row], now_us=START_US + value)
        assert merge_results((await find_job(engine, out, "row-0"))["scores"]) == '{"clip": 2}'
