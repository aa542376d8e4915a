"""Opening failed and held jobs again, also for another backend."""

from __future__ import annotations

import asyncio

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.backends import require_ready
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError, InputError
from tasks.core.records import IN_FLIGHT_STATES, EndedFilter, JobState
from tasks.core.text import format_command
from tasks.generate.kept_answers import reread_answers
from tasks.ledger.changes import ROUTE_UPDATE, build_route
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import execute
from tasks.ledger.jobs import reopen, reopen_made
from tasks.ledger.queries import read_ended_pages, read_made_pages, read_pages
from tasks.plan.fallback import move_to_backend
from tasks.runs.run import OpenRun
from tasks.store.output.base import IMAGES


async def reopen_jobs(run: OpenRun) -> None:
    """Open the jobs again that the request names, and route them to its backend on a resume.

    Raises:
        InputError: No job ended as `--only` says.
        ConfigError: The other backend cannot make one of the jobs. Nothing was spent.
    """
    engine, request = run.batch.engine, run.request
    if request.reread or request.retry_failed:  # what can be read for nothing is not paid for again
        await reread_answers(run.batch)
    if request.missing:
        await _reopen_missing(run)
    # On a resume without options nothing is opened: what ended keeps its end.
    ended = request.reopened()
    if ended is None:
        return
    other = request.backend if request.manifest is None else None
    alone = request.only is not None or other is not None or request.missing
    if other is not None:
        await _check_route(run, ended, other)
    found = await reopen(engine, ended, run=run.number if alone else None)
    # `--only` with a name that nothing ended as is a typing error, and would silently do nothing.
    if request.only is not None and not found:
        raise InputError(
            f"{request.out}: no job ended as {request.only}; see `{format_command('status', request.out)}`"
        )
    if other is not None:
        await reroute(engine, run.number, other, run.settings)


async def _reopen_missing(run: OpenRun) -> None:
    """Open the jobs again that succeeded and whose files are gone; the user asks to pay for them once more."""
    batch, here = run.batch, await run.batch.out.names(IMAGES)
    # The files are asked of the output, not of the ledger: it knows only that they were written.
    async for page in read_made_pages(batch.engine):
        gone = [job_id for job_id, file_name in page if file_name not in here]
        await reopen_made(batch.engine, gone, run=run.number)


async def _check_route(run: OpenRun, ended: EndedFilter, name: str) -> None:
    """Check the jobs against what their new backend accepts."""
    backend = run.batch.backend(name)
    require_ready(name, backend)
    # Asked once for all jobs: a backend learns its schema over the network.
    await asyncio.to_thread(backend.learn)
    async for page in read_ended_pages(run.batch.engine, ended):
        for job in page:
            # Checked before any of them is routed, so that a refusal leaves the batch as it was.
            if problems := backend.problems(move_to_backend(job, name, run.settings)):
                raise ConfigError(f"backend {name!r} cannot take over {job.label!r}: {problems[0]}")


async def reroute(engine: AsyncEngine, run: int, name: str, settings: Settings) -> None:
    """Route the jobs that this run has reopened to the backend `name`.

    A job whose last attempt may have been paid for goes there only after a look at that attempt found no image.
    """
    # Only jobs that this run has reopened; those that are in flight stay where they were sent.
    mine = (jobs.c.planned_run == run) & jobs.c.withdrawn.is_(False)
    await execute(engine, update(jobs).where(mine & jobs.c.state.in_(IN_FLIGHT_STATES)).values(fallbacks=name))
    async for page in read_pages(engine, mine & (jobs.c.state == JobState.PLANNED)):
        await execute(engine, ROUTE_UPDATE, [build_route(move_to_backend(job, name, settings)) for job in page])
