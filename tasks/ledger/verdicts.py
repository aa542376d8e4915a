"""People's judgements of a batch's images: picked, rejected, a rating, a note.

Every judgement is a row of its own, so nothing is lost: an undo is one more row. The last row of a job counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Label, RowMapping, Select, case, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.memory import split_chunks
from tasks.core.records import JobState
from tasks.ledger.database.schema import VERDICTS, VerdictName, jobs, verdicts
from tasks.ledger.database.transactions import execute, fetch_mappings, fetch_rows
from tasks.ledger.scores import SCORES

MOST_NOTE_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class JudgedCounts:
    """Verdicts of reviewers on a batch, and their agreement; a rating or note alone is no verdict."""

    picked: int = 0
    rejected: int = 0
    reviewers: int = 0
    judged_by_several: int = 0
    """Images that two or more picked or rejected."""
    agreed: int = 0
    """Those of them on which all say the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One judgement of one image."""

    job_id: str
    reviewer: str
    verdict: VerdictName | None
    """None takes back what stood before."""
    rating: int | None
    """1 to `MOST_RATING`."""
    note: str | None
    at_us: int


# Two reviewers may judge in the same microsecond; the name makes the order the same every time.
_LAST_FIRST = (verdicts.c.at_us.desc(), verdicts.c.reviewer)


def _rank(*partition: str) -> Select[tuple[object, ...]]:
    """The rows with their number, the last judgement of each partition first."""
    place = func.row_number().over(partition_by=[verdicts.c[name] for name in partition], order_by=_LAST_FIRST)
    return select(verdicts, place.label("place"))


_ranked = _rank("job_id").subquery()
_effective = select(_ranked).where(_ranked.c.place == 1).subquery()


def _select_last(name: str) -> Label[Any]:
    """Column of `jobs`: a value of the judgement that counts."""
    # For each row alone, by the primary key, as its scores: a join would rank the whole table for every page of jobs.
    mine = select(verdicts.c[name]).where(verdicts.c.job_id == jobs.c.job_id).order_by(*_LAST_FIRST).limit(1)
    return mine.correlate(jobs).scalar_subquery().label(name)


SELECT_JOBS = select(jobs, _select_last("verdict"), _select_last("rating"), _select_last("note"), SCORES)
"""Jobs with the judgement that counts and the scores of their images."""
SELECT_VERDICTS = select(jobs.c.reused_from, _effective.c.verdict).outerjoin(
    _effective, _effective.c.job_id == jobs.c.job_id
)
"""Jobs with the verdict that counts, for sums over a whole batch: all judgements are ranked, once."""


async def record_verdicts(engine: AsyncEngine, judged: Sequence[Verdict]) -> None:
    """Add judgements; they are on disk when this returns."""
    if judged:
        await execute(engine, insert(verdicts), [asdict(verdict) for verdict in judged])


async def read_verdicts(engine: AsyncEngine, *, since_us: int = 0) -> Sequence[RowMapping]:
    """The last judgement of every reviewer for every image, the oldest first; those since an instant."""
    ranked = _rank("job_id", "reviewer").subquery()
    columns = [ranked.c[column.name] for column in verdicts.c]
    wanted = (ranked.c.place == 1) & (ranked.c.at_us >= since_us)
    return await fetch_mappings(engine, select(*columns).where(wanted).order_by(ranked.c.at_us))


async def find_last_instant_us(engine: AsyncEngine) -> int:
    """When the newest judgement was given; 0 without any."""
    [(last,)] = await fetch_rows(engine, select(func.max(verdicts.c.at_us)))
    return int(last or 0)


async def count_verdicts(engine: AsyncEngine) -> dict[str, int]:
    """Images by the verdict that counts: `pick` and `reject`."""
    mine = jobs.c.withdrawn.is_(False) & _effective.c.verdict.is_not(None)
    query = select(_effective.c.verdict, func.count()).join(jobs, jobs.c.job_id == _effective.c.job_id).where(mine)
    found = dict(await fetch_rows(engine, query.group_by(_effective.c.verdict)))
    return {name: int(found.get(name, 0)) for name in VERDICTS}


async def count_judged(engine: AsyncEngine) -> JudgedCounts:
    """Count the verdicts that count, who gave any, and where they agree."""
    counts = await count_verdicts(engine)
    ranked = _rank("job_id", "reviewer").subquery()
    last = select(ranked).where((ranked.c.place == 1) & ranked.c.verdict.is_not(None)).subquery()
    ours = last.join(jobs, (jobs.c.job_id == last.c.job_id) & jobs.c.withdrawn.is_(False))
    [(reviewers,)] = await fetch_rows(engine, select(func.count(last.c.reviewer.distinct())).select_from(ours))
    kinds = func.count(last.c.verdict.distinct()).label("kinds")
    shared = select(kinds).select_from(ours).group_by(last.c.job_id).having(func.count() > 1).subquery()
    agreed = func.coalesce(func.sum(case((shared.c.kinds == 1, 1), else_=0)), 0)
    [(several, same)] = await fetch_rows(engine, select(func.count(), agreed).select_from(shared))
    return JudgedCounts(counts["pick"], counts["reject"], int(reviewers), int(several), int(same))


async def find_made(engine: AsyncEngine, job_ids: Sequence[str]) -> set[str]:
    """Those of the job ids that are images of this batch."""
    found: set[str] = set()
    for chunk in split_chunks(job_ids):
        made = select(jobs.c.job_id).where(jobs.c.job_id.in_(chunk) & (jobs.c.state == JobState.SUCCEEDED))
        found.update(job_id for (job_id,) in await fetch_rows(engine, made))
    return found
