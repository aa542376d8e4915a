"""Send reopened jobs to another backend."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import IN_FLIGHT_STATES, JobState
from tasks.core.settings import Settings
from tasks.ledger.changes import ROUTE_UPDATE, build_route
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import execute
from tasks.ledger.queries import read_pages
from tasks.plan.fallback import move_to_backend


async def reroute(engine: AsyncEngine, run: int, name: str, settings: Settings) -> None:
    """Send the jobs that a run has reopened for itself to the instance called `name`.

    Those whose last attempt is looked at first go there when that look has found nothing.
    """
    mine = (jobs.c.planned_run == run) & jobs.c.withdrawn.is_(False)
    await execute(engine, update(jobs).where(mine & jobs.c.state.in_(IN_FLIGHT_STATES)).values(fallbacks=name))
    async for page in read_pages(engine, mine & (jobs.c.state == JobState.PLANNED)):
        await execute(engine, ROUTE_UPDATE, [build_route(move_to_backend(job, name, settings)) for job in page])
