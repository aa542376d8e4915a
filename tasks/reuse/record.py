"""Reused images in the ledger: the job is done for nothing, its file's facts are those of the bytes, its verdict comes along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, case, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tasks.core.database import build_insert
from tasks.core.records import Job, JobState, StoredImage
from tasks.ledger.changes import sum_attempt_costs
from tasks.ledger.database.schema import jobs, verdicts
from tasks.ledger.database.transactions import run_transaction

REUSED = "reused"
"""`cost_source` of an image that cost this batch nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusedImage:
    """An image that lies in this batch, and where it came from."""

    job: Job
    image: StoredImage
    other_notes: tuple[str, ...]
    """See `find_other_notes`."""
    source: str
    """Address of its batch."""
    seed: int
    """The seed that made it; another one than the job's only where another salt was asked for."""
    model_version: str | None
    verdict: dict[str, Any] | None
    """Reviewer, instant, verdict, rating and note, as the source has them; None: it was not judged."""


async def record_reused(engine: AsyncEngine, reused: Sequence[ReusedImage], *, now_us: int) -> frozenset[str]:
    """Record them in one commit; doing it again changes nothing.

    Returns:
        The job_ids that are done. A job that another worker has in hand is not, and stays its own.
    """

    async def write(db: AsyncConnection) -> frozenset[str]:
        if reused:
            await db.execute(_UPDATE, [_build_values(it, now_us) for it in reused])
        ids = [it.job.job_id for it in reused]
        # Read back: a repeated commit changes no row, and has done its work all the same.
        mine = jobs.c.job_id.in_(ids) & (jobs.c.state == JobState.SUCCEEDED) & jobs.c.reused_from.is_not(None)
        done = frozenset((await db.execute(select(jobs.c.job_id).where(mine))).scalars())
        judged = [it.verdict | {"job_id": it.job.job_id} for it in reused if it.verdict and it.job.job_id in done]
        for verdict in judged:
            # A judgement of one's own in this batch is worth more than one from elsewhere.
            own = select(exists().where(verdicts.c.job_id == verdict["job_id"]))
            if not (await db.execute(own)).scalar_one():
                await db.execute(build_insert(db.dialect.name, verdicts).on_conflict_do_nothing(), [verdict])
        return done

    return await run_transaction(engine, write)


def _build_values(it: ReusedImage, now_us: int) -> dict[str, Any]:
    return {
        "a_job_id": it.job.job_id,
        "a_seed": it.seed,
        "a_source": it.source,
        "a_model_version": it.model_version,
        "a_file_name": it.image.file_name,
        "a_width": it.image.width,
        "a_height": it.image.height,
        "a_format": it.image.format,
        "a_bytes": it.image.bytes,
        "a_sha256": it.image.sha256,
        "a_provenance": it.image.provenance,
        "a_now_us": now_us,
    }


_UPDATE = (
    update(jobs)
    # A job that is in flight, or in another worker's hands, may be paid for at this moment.
    .where((jobs.c.job_id == bindparam("a_job_id")) & (jobs.c.state == JobState.PLANNED) & jobs.c.claimed_by.is_(None))
    .values(
        state=JobState.SUCCEEDED,
        seed=bindparam("a_seed"),
        reused_from=bindparam("a_source"),
        model_version=bindparam("a_model_version"),
        file_name=bindparam("a_file_name"),
        width=bindparam("a_width"),
        height=bindparam("a_height"),
        format=bindparam("a_format"),
        bytes=bindparam("a_bytes"),
        sha256=bindparam("a_sha256"),
        provenance=bindparam("a_provenance"),
        completed_at_us=bindparam("a_now_us"),
        prediction_id=None,
        predict_time_s=None,
        latency_ms=None,
        error_kind=None,
        error_message=None,
        # Earlier attempts of this batch stay on its bill.
        cost_micros=case((jobs.c.attempts == 0, 0), else_=sum_attempt_costs()),
        # Attempts that failed for nothing are on no bill.
        cost_source=case((or_(jobs.c.attempts == 0, sum_attempt_costs() == 0), REUSED), else_=jobs.c.cost_source),
    )
)
