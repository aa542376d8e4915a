"""One run over one output folder: from what the user asked for to an open batch, and its end in the ledger.

Takes a `RunRequest`; gives, in order, an open batch, a plan written into its ledger, and the record of how
the run ended. It holds the folder's lock from first to last.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from tasks.backends import require_ready
from tasks.core.atomic_files import remove_leftovers
from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped, ConfigError, ImagenError, InputError
from tasks.core.money import to_micros
from tasks.core.records import EndedFilter, Job, JobState
from tasks.core.settings import BackendSettings, Settings, load_settings
from tasks.core.text import format_command
from tasks.generate.batch import Batch, open_batch
from tasks.generate.stop import INTERRUPTED
from tasks.ledger.database.connect import open_ledger, reach_ledger
from tasks.ledger.database.location import LedgerPlace, locate_ledger, require_ledger
from tasks.ledger.jobs import reopen, write_plan
from tasks.ledger.leases import list_living_leases, revoke
from tasks.ledger.lock import lock_folder, require_no_workers
from tasks.ledger.open_jobs import Selection, find_open_backends, find_open_jobs, list_shards
from tasks.ledger.queries import read_ended_pages
from tasks.ledger.runs import RunRecord, RunStart, begin_run, end_run, get_last_run
from tasks.manifest import open_manifest
from tasks.plan.check import PlanReport, check_manifest
from tasks.plan.fallback import move_to_backend
from tasks.plan.planner import plan_manifest
from tasks.plan.reroll import write_reroll
from tasks.report.summary import COMPLETED, Summary, summarise, write_summary
from tasks.runs.request import RunRequest
from tasks.runs.reroute import reroute
from tasks.runs.runner import check_runner
from tasks.store.output import parse_output
from tasks.usage.caller import resolve_caller
from tasks.usage.push import PushReport

ESTIMATE_PAGE_JOBS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that holds its folder."""

    request: RunRequest
    batch: Batch
    number: int
    settings: Settings


@asynccontextmanager
async def open_run(request: RunRequest, *, clock: Clock | None = None) -> AsyncIterator[OpenRun]:
    """Lock the output, open its ledger, record the run.

    A run that generates by itself needs the batch alone, so workers that a killed run left behind are waited out;
    one whose workers claim jobs by leases goes on beside them.

    Raises:
        InputError: The output cannot be used, or another run holds it. Nothing was spent.
    """
    clock, out = clock or Clock(), parse_output(request.out)
    with lock_folder(out.home, shown=request.out):
        remove_leftovers(out.home)
        given = _load_given_settings(request)
        place = _find_ledger(request, given)
        async with open_ledger(place, create=request.manifest is not None, alone=True) as engine:
            before = await get_last_run(engine)
            out.claim(first=before is None)
            settings, budget_micros = _choose_settings_and_budget(request, given, before)
            check_runner(settings.runner, place)
            if settings.runner.kind == "local":
                require_no_workers(request.out, await list_living_leases(engine))
            start = RunStart(
                manifest=request.manifest,
                salt=None if request.manifest is None else request.salt,
                budget_micros=budget_micros,
                settings=settings.model_dump_json(),
                caller=resolve_caller(os.environ),
            )
            number = await begin_run(engine, start, now_us=clock.now_us())
            if settings.runner.kind == "local":
                await revoke(engine)
            async with open_batch(out, engine, settings, budget_micros=budget_micros, clock=clock) as batch:
                try:
                    yield OpenRun(request=request, batch=batch, number=number, settings=settings)
                except ImagenError as exc:
                    await end_run(engine, number, f"stopped: {exc}", now_us=clock.now_us())
                    raise


def check_request(request: RunRequest) -> PlanReport | None:
    """Read the whole manifest before anything is written, then see that the output can be written.

    Does nothing where it was done in this context already.

    Returns:
        What the manifest comes to; None on a resume.

    Raises:
        ManifestError: The manifest has problems; they are all in it.
        ConfigError: A setting cannot be used, or a backend that the manifest needs is not set up.
        InputError: There is no batch to resume, or its output cannot be written.
    """
    out = parse_output(request.out)
    if request.manifest is None:
        request.reopened()
        require_ledger(out.ledger_folder())
        out.check()
        return None
    if (known := _checked.get()) is not None and known[0] == request:
        return known[1]
    given, options = load_settings(request.config), request.plan_options()
    settings = _override_settings(given, request)
    check_runner(settings.runner, _find_ledger(request, given))
    with open_manifest(request.manifest) as manifest:
        report = check_manifest(manifest, settings, options, ask=True)
    out.check()
    _checked.set((request, report))
    return report


async def check_ledger(request: RunRequest) -> None:
    """Learn before anything else is started that the ledger can be reached.

    Raises:
        ConfigError: It cannot. Nothing was spent.
    """
    await reach_ledger(_find_ledger(request, _load_given_settings(request)))


async def plan_run(run: OpenRun) -> Selection:
    """Write the manifest's jobs into the ledger (on a resume: none), and open again what the user asked for.

    Returns:
        The open jobs to generate. Where their estimate goes beyond the budget the batch is stopped already.

    Raises:
        ConfigError: A backend that open jobs need is not set up.
    """
    batch, request = run.batch, run.request
    if request.manifest is not None:
        await _plan_manifest(run, request.manifest)
    if request.reroll is not None:
        await write_reroll(batch.engine, request.reroll, run=run.number, now_us=batch.clock.now_us())
    await _reopen(run)
    selection = _select_jobs(run)
    for name in await find_open_backends(batch.engine, selection):
        require_ready(name, batch.backend(name))
    if batch.budget.capped:
        try:
            batch.budget.check_estimate(await _sum_estimates(batch, selection))
        except BatchStopped as stopped:
            batch.stop.stop(stopped)
    return selection


async def conclude_run(run: OpenRun, usage: PushReport) -> Summary:
    """Record how the run ended, write `summary.json`, and give the summary."""
    batch, stop = run.batch, run.batch.stop
    outcome = COMPLETED if stop.cause is None else INTERRUPTED if stop.interrupted else f"stopped: {stop.cause}"
    await end_run(batch.engine, run.number, outcome, now_us=batch.clock.now_us())
    now_us, generated = batch.clock.now_us(), batch.tally.succeeded
    summary = await summarise(batch.engine, batch.out, now_us=now_us, generated=generated, warning=usage.warning)
    await write_summary(summary)
    return summary


async def _plan_manifest(run: OpenRun, source: str) -> None:
    options = run.request.plan_options()
    with open_manifest(source) as manifest:
        await write_plan(
            run.batch.engine,
            plan_manifest(manifest, run.settings, options),
            run=run.number,
            salt=options.salt,
            whole=options.limit is None,
            now_us=run.batch.clock.now_us(),
        )


async def _reopen(run: OpenRun) -> None:
    """Open again what the user asked for; on a resume for another backend, send it there."""
    engine, request = run.batch.engine, run.request
    ended = request.reopened()
    if ended is None:
        return
    other = request.backend if request.manifest is None else None
    alone = request.only is not None or other is not None
    if other is not None:
        await _check_route(run, ended, other)
    found = await reopen(engine, ended, run=run.number if alone else None)
    if request.only is not None and not found:
        raise InputError(
            f"{request.out}: no job ended as {request.only}; see `{format_command('status', request.out)}`"
        )
    if other is not None:
        await reroute(engine, run.number, other, run.settings)


async def _check_route(run: OpenRun, ended: EndedFilter, name: str) -> None:
    """Hold the jobs that are to go to another backend against what it accepts."""
    backend = run.batch.backend(name)
    require_ready(name, backend)
    await asyncio.to_thread(backend.learn)
    async for page in read_ended_pages(run.batch.engine, ended):
        for job in page:
            if problems := backend.problems(move_to_backend(job, name, run.settings)):
                raise ConfigError(f"backend {name!r} cannot take over {job.label!r}: {problems[0]}")


def _select_jobs(run: OpenRun) -> Selection:
    """A limit means the manifest's first jobs, done or not; without a manifest, the first that are open."""
    request = run.request
    chosen = request.only is not None or request.reroll is not None
    if chosen or (request.manifest is not None and request.limit is not None):
        return Selection(planned_run=run.number, limit=request.limit if request.manifest is None else None)
    return Selection(limit=request.limit)


async def _sum_estimates(batch: Batch, selection: Selection) -> int:
    """What the jobs that this run may send are expected to cost, millionths of a dollar."""
    total_micros = 0
    async for shard in list_shards(batch.engine, ESTIMATE_PAGE_JOBS, selection):
        for entry in await find_open_jobs(batch.engine, shard.first, shard.last, planned_run=shard.planned_run):
            routes = (entry.job, *(move_to_backend(entry.job, name, batch.settings) for name in entry.job.fallbacks))
            cost_micros, *_ = [_get_price_micros(batch, job) for job in routes]
            # What is in flight is reserved in the ledger already.
            total_micros += cost_micros if entry.state is JobState.PLANNED or entry.asked_again else 0
    return total_micros


def _get_price_micros(batch: Batch, job: Job) -> int:
    cost_micros = batch.backend(job.backend).estimate(job).cost_micros
    if cost_micros is None:
        raise ConfigError(
            f"backend {job.backend!r} has no known price, so --budget cannot be kept: "
            f"set backends.{job.backend}.price_usd"
        )
    return cost_micros


def _load_given_settings(request: RunRequest) -> Settings | None:
    """The configuration that the run brings; None on a resume that names none: the last run's counts."""
    return None if request.manifest is None and request.config is None else load_settings(request.config)


def _find_ledger(request: RunRequest, given: Settings | None) -> LedgerPlace:
    """A new batch's ledger is where the configuration says; another's is where it is."""
    return locate_ledger(parse_output(request.out).home, None if given is None else given.ledger_url)


def _choose_settings_and_budget(
    request: RunRequest, given: Settings | None, before: RunRecord | None
) -> tuple[Settings, int | None]:
    if given is not None:
        settings = given
    elif before is None:
        settings = load_settings(None)
    else:
        settings = Settings.model_validate_json(before.start.settings)
    inherited = before.start.budget_micros if before and request.manifest is None else None
    budget_micros = inherited if request.budget_usd is None else to_micros(request.budget_usd)
    return _override_settings(settings, request), budget_micros


def _override_settings(settings: Settings, request: RunRequest) -> Settings:
    given = {"kind": request.runner, "workers": request.workers, "cluster": request.cluster}
    runner = settings.runner.model_copy(update={name: value for name, value in given.items() if value is not None})
    if runner.kind == "local" and (meaningless := [name for name in ("workers", "cluster") if given[name] is not None]):
        raise ConfigError(f"--{meaningless[0]}: the local runner has none; add --runner dask or --runner ray")
    return settings.model_copy(
        update={"runner": runner, "backends": _override_concurrency(settings, request.concurrency)}
    )


def _override_concurrency(settings: Settings, concurrency: int | None) -> dict[str, BackendSettings]:
    if concurrency is None:
        return settings.backends
    return {
        name: instance.model_copy(update={"concurrency": concurrency}) for name, instance in settings.backends.items()
    }


_checked: ContextVar[tuple[RunRequest, PlanReport] | None] = ContextVar("checked", default=None)
