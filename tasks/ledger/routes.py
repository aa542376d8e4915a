"""Jobs on their way to another backend than the one that was asked first."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select, true, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.ledger.planning import IN_FLIGHT, ROWS_PER_COMMIT, ended_so, job_of
from tasks.ledger.queries import IN_ORDER, after
from tasks.ledger.schema import jobs
from tasks.ledger.transactions import execute, rows_of
from tasks.records import Ended, Job, JobState
from tasks.reroute import on_backend
from tasks.settings import Settings


async def reroute(engine: AsyncEngine, run: int, name: str, settings: Settings) -> None:
    """Send the jobs that a run has reopened for itself to the instance called `name`.

    Those whose last attempt is looked at first go there when that look has found nothing.
    """
    mine = (jobs.c.planned_run == run) & jobs.c.withdrawn.is_(False)
    await execute(engine, update(jobs).where(mine & jobs.c.state.in_(IN_FLIGHT)).values(fallbacks=name))
    async for page in _pages(engine, mine & (jobs.c.state == JobState.PLANNED)):
        await execute(engine, ROUTE_UPDATE, [route_of(on_backend(job, name, settings)) for job in page])


async def ended_pages(engine: AsyncEngine, ended: Ended) -> AsyncIterator[list[Job]]:
    """The jobs that ended so, some thousands at a time."""
    async for page in _pages(engine, ended_so(ended)):
        yield page


async def _pages(engine: AsyncEngine, which: ColumnElement[bool]) -> AsyncIterator[list[Job]]:
    later: ColumnElement[bool] = true()
    while True:
        query = select(jobs).where(which & later).order_by(*IN_ORDER).limit(ROWS_PER_COMMIT)
        page = [job_of(row) for row in await rows_of(engine, query)]
        if not page:
            return
        later = after(page[-1].position, page[-1].job_id)
        yield page


def route_of(job: Job) -> dict[str, Any]:
    """Values of `ROUTE_UPDATE` for a job that another backend takes over."""
    return {
        "a_job_id": job.job_id,
        "backend": job.backend,
        "backend_type": job.backend_type,
        "model": job.model,
        "backend_opts": json.dumps(job.backend_opts, ensure_ascii=False, default=str),
        "fallbacks": ",".join(job.fallbacks),
        "rerouted_from": job.rerouted_from,
    }


ROUTE_UPDATE = (
    update(jobs)
    .where(jobs.c.job_id == bindparam("a_job_id"))
    .values(
        {
            name: bindparam(name)
            for name in ("backend", "backend_type", "model", "backend_opts", "fallbacks", "rerouted_from")
        }
        | {"state": JobState.PLANNED}
    )
)
